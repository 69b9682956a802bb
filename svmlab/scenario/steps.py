"""The steps of a scenario: one model a step, with exactly the keys that step may have."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, TypeAdapter, model_validator

from svmlab.errors import InputError
from svmlab.scenario.attributes import AttributeKeys, AttributePair
from svmlab.scenario.expectations import Expectations
from svmlab.scenario.spans import Contents, SpanKeys
from svmlab.scenario.tables import Table, exactly_one
from svmlab.scenario.values import (
    Address,
    Errno,
    ErrorName,
    GpuName,
    Name,
    Ordinal,
    Size,
    Text,
    Time,
    VramRun,
)
from svmlab.svm.behaviour_table import PRESETS
from svmlab.units import SEC

__all__ = [
    "ANY_STEP",
    "STEPS",
    "CpuAccess",
    "AnyStep",
    "CreateProcess",
    "EvictVram",
    "Exit",
    "Expect",
    "Fork",
    "GetAttr",
    "GpuAccess",
    "GpuCopy",
    "Inject",
    "Mark",
    "MmStep",
    "Mmap",
    "Mprotect",
    "Mremap",
    "Piece",
    "Preset",
    "QueueStep",
    "Run",
    "SetAttr",
    "SetXnack",
    "Step",
    "VramLayout",
]


def _preset(name: str) -> str:
    if name not in PRESETS:
        raise InputError(f"behaviour {name!r}", allowed=", ".join(f'"{preset}"' for preset in PRESETS))
    return name


Preset = Annotated[str, AfterValidator(_preset)]
Protection = Literal["rw", "r", "none"]
MappingKind = Literal["anonymous", "shared", "file", "file_private", "hugetlb", "heap", "stack", "device"]
Fault = Literal["vram_alloc", "ram_alloc", "dma_map", "copy", "fence", "setup", "page_lock", "hmm_fault"]


class Only(Table):
    """When a step is not skipped: the head has these values."""

    xnack: Literal["on", "off"] | None = None
    behaviour: Preset | None = None


class Step(Table):
    """What every step may have."""

    do: str
    note: Text | None = None
    after: Time = 0
    wait: bool = True
    error: ErrorName | None = None
    may_fail: list[ErrorName] = Field(default_factory=list)
    process: Name = "main"
    only: Only | None = None
    limit: Time = SEC

    @property
    def expected_error(self) -> str | None:
        """The error the step must fail with."""
        return self.error


class Mmap(Step):
    """A new mapping."""

    do: Literal["mmap"]
    name: Name | None = None
    size: Size
    at: Address | None = None
    protection: Protection = "rw"
    kind: MappingKind = "anonymous"
    file: Name | None = None
    populate: bool = False

    @model_validator(mode="after")
    def _file_of_a_file(self) -> Mmap:
        if self.file is not None and self.kind not in ("file", "file_private"):
            raise InputError(f'file does not go with kind = "{self.kind}"', allowed='kind = "file" or "file_private"')
        return self


class MmStep(SpanKeys, Step):
    """A system call that needs a span and nothing else."""

    do: Literal["munmap", "discard", "pin", "unpin", "swap_out"]


class Mprotect(SpanKeys, Step):
    """Change what the CPU may do."""

    do: Literal["mprotect"]
    protection: Protection


class Mremap(SpanKeys, Step):
    """Move pages to other addresses."""

    do: Literal["mremap"]
    to: Address | None = None
    name: Name | None = None


class Fork(Step):
    """A child that shares every page copy-on-write."""

    do: Literal["fork"]
    name: Name = "child"
    exit_child: bool = False


class CreateProcess(Step):
    """One more process on the same GPUs."""

    do: Literal["process"]
    name: Name


class Exit(Step):
    """The end of a process."""

    do: Literal["exit"]


class SetAttr(AttributeKeys, SpanKeys, Step):
    """Set SVM attributes."""

    do: Literal["set_attr"]


class GetAttr(SpanKeys, Step):
    """Get SVM attributes."""

    do: Literal["get_attr"]
    expect: AttributeKeys | None = None
    raw: list[AttributePair] | None = None

    @model_validator(mode="after")
    def _one_list(self) -> GetAttr:
        exactly_one(self.given("expect", "raw"), "expect, raw", needed=False)
        return self


class CpuAccess(Contents, SpanKeys, Step):
    """Loads or stores of the CPU."""

    do: Literal["cpu_write", "cpu_read"]


class GpuAccess(Contents, SpanKeys, Step):
    """Loads or stores of a GPU."""

    do: Literal["gpu_write", "gpu_read"]
    gpu: GpuName


class Piece(SpanKeys):
    """One end of a copy; its size may be left to the other end."""

    SIZE_NEEDED: ClassVar[bool] = False


class GpuCopy(Step):
    """A copy made by a GPU."""

    do: Literal["gpu_copy"]
    gpu: GpuName
    source: Piece = Field(alias="from")
    target: Piece = Field(alias="to")

    @model_validator(mode="after")
    def _equal_sizes(self) -> GpuCopy:
        sizes = {piece.size for piece in (self.source, self.target) if piece.size is not None}
        if len(sizes) == 2:
            raise InputError(
                f"from has {self.source.size} bytes and to has {self.target.size}",
                allowed="equal sizes, or one of them",
            )
        if not sizes and self.source.on is None and self.target.on is None:
            raise InputError("size is missing", allowed="a size in from, in to, or in both")
        return self


class QueueStep(Step):
    """A queue comes or goes."""

    do: Literal["create_queue", "destroy_queue"]
    gpu: GpuName


class SetXnack(Step):
    """Switch or ask the xnack mode."""

    do: Literal["set_xnack"]
    mode: Literal["on", "off", "query"]
    expect: Literal["on", "off"] | None = None


class Inject(Step):
    """Let something fail that would not fail by itself."""

    do: Literal["inject"]
    fault: Fault
    nth: Ordinal = 1
    count: Ordinal = 1
    gpu: GpuName | None = None
    error: Errno | None = None

    @model_validator(mode="after")
    def _errno_of_a_call(self) -> Inject:
        if self.fault == "page_lock" and self.error is not None:
            raise InputError("page_lock returns no error: the page is missed", hint="leave error away")
        return self

    @property
    def expected_error(self) -> str | None:
        """None: here ``error`` is what the fault returns."""
        return None


class VramLayout(Step):
    """Leave only these pages of VRAM free."""

    do: Literal["vram_layout"]
    gpu: GpuName
    free: list[VramRun] | None = None


class EvictVram(Step):
    """The memory manager takes VRAM back."""

    do: Literal["evict_vram"]
    gpu: GpuName


class Run(Step):
    """Let time pass."""

    do: Literal["run"]
    until: Literal["idle"] | None = None
    time: Time | None = Field(None, alias="for")

    @model_validator(mode="after")
    def _one_end(self) -> Run:
        if self.until is not None and self.time is not None:
            raise InputError("until and for exclude each other", allowed="one of until, for")
        return self


class Mark(Step):
    """From here events, counters and time are counted."""

    do: Literal["mark"]


class Expect(Expectations, Step):
    """Look, and change nothing."""

    do: Literal["expect"]


AnyStep = (
    Mmap
    | MmStep
    | Mprotect
    | Mremap
    | Fork
    | CreateProcess
    | Exit
    | SetAttr
    | GetAttr
    | CpuAccess
    | GpuAccess
    | GpuCopy
    | QueueStep
    | SetXnack
    | Inject
    | VramLayout
    | EvictVram
    | Run
    | Mark
    | Expect
)
ANY_STEP: TypeAdapter[AnyStep] = TypeAdapter(Annotated[AnyStep, Field(discriminator="do")])
STEPS: dict[str, type[Step]] = {
    name: model for model in AnyStep.__args__ for name in model.model_fields["do"].annotation.__args__
}
"""The model of each step by its name, in the order of the format."""
