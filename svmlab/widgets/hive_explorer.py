"""HiveExplorer: machines, who reaches whose VRAM, and what that means for a buffer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from svmlab.errors import InputError
from svmlab.hardware.machine import Machine
from svmlab.svm.buffer_view import Buffer
from svmlab.svm.process import Process
from svmlab.views import Cell, Row, Scene, Table, decision_path, pagemap, svg, topology
from svmlab.widgets.controls import choice, text
from svmlab.widgets.lab import Lab
from svmlab.widgets.page import LEFT, RIGHT, beside, heading, labelled, told

__all__ = ["HiveExplorer"]

_MACHINES = ("mi210-two-hives", "mi300x-8", "mi250x-node", "mi100-hive4", "pcie-pair", "toy")
_SIZE = "64 KiB"


class HiveExplorer(Lab):
    """Choose a machine, who gets access to a buffer, and whose VRAM it shall go to: where it goes and who maps it.

    Args:
        machine: name of the machine to start with.

    Attributes:
        machine: the control for the machine.
        prefetch: the text for the prefetch location, ``gpu1`` or ``cpu``.
        access: the text for who gets access, ``gpu0 gpu1``.
        xnack: the control for the xnack mode.
        reset: the button that goes back to the start.
        view: topology, decision path, page map and sentences, as HTML.

    >>> explorer = HiveExplorer()
    >>> explorer.access.value = "gpu0 gpu9"
    >>> "gpu9" in explorer.message.value
    True
    """

    def __init__(self, machine: str = _MACHINES[0]) -> None:
        names = list(dict.fromkeys([Machine.find(machine).name, *_MACHINES]))
        self.machine, self.xnack = choice(names, names[0]), choice(["off", "on"], "off")
        self.prefetch, self.access = text("gpu1"), text("gpu0 gpu1")
        super().__init__(
            {"machine": self.machine, "prefetch": self.prefetch, "access": self.access, "xnack": self.xnack}
        )

    def page(self) -> str:
        """See ``Lab.page``."""
        process, buffer = _run(self._machine(), self.prefetch.value, self.access.value, xnack=self.xnack.value == "on")
        (reason,) = process.why(buffer).reasons
        path = decision_path(reason.decision, process.machine.location_name, of="The pages of a")
        left = (told(pagemap(process, buffer), LEFT), labelled("Mapping:", reason.mapping))
        right = (told(topology(process.machine), RIGHT), svg(path, width_px=RIGHT))
        return heading(f"{path.title}, because {reason.decision.because}") + beside((LEFT, left), (RIGHT, right))

    def summary(self) -> Scene:
        """A row for each machine and each kind of neighbour of gpu0 that it has."""
        lines = [self._line(machine, other) for name in _MACHINES for machine, other in _neighbours(name)]
        columns = ("machine", "prefetch to", "access", "seen from gpu0", "goes to", "because")
        title = "A prefetch counts within the hive of the accessor"
        return Scene("summary", title, (Table(columns, tuple(lines), kind="summary"),))

    def notes(self) -> Iterable[str]:
        """See ``Lab.notes``."""
        for name in _MACHINES:
            machine = Machine.find(name)
            yield f"{name}: {len(machine.gpus)} GPUs, {len(machine.hives)} hive{'s' * (len(machine.hives) != 1)}"

    def _machine(self) -> Machine:
        return Machine.find(self.machine.value)

    def _line(self, machine: Machine, other: int) -> Row:
        process, buffer = _run(machine, f"gpu{other}", "gpu0", xnack=False)
        (reason,) = process.why(buffer).reasons
        place = machine.location_name(reason.decision.location or 0)
        near = "same hive" if machine.near(0, other) else "not in its hive"
        texts = (machine.name, f"gpu{other}", "gpu0", near)
        goes = Cell("RAM" if place == "cpu" else place, place)
        return Row((*map(Cell, texts), goes, Cell(reason.decision.because)))


def _run(machine: Machine, prefetch: str, access: str, *, xnack: bool) -> tuple[Process, Buffer]:
    process = Process(machine, xnack=xnack)
    buffer = process.mmap(_SIZE, name="a")
    buffer[:] = 7
    asked = _asked(machine, prefetch, access)
    if asked:
        process.set_attr(buffer, **asked)
    process.run()
    return process, buffer


def _asked(machine: Machine, prefetch: str, access: str) -> Mapping[str, Any]:
    """What was written, as set_attr wants it.

    Raises:
        InputError: a word is no location of the machine, or access is to be given to something else than a GPU.
    """
    place, gpus = prefetch.strip(), access.replace(",", " ").split()
    if place:
        machine.location(place)
    for gpu in gpus:
        if machine.by_id(machine.location(gpu)) is None:
            raise InputError(
                f"access for {gpu!r}", allowed="GPUs, as in gpu0 gpu1", hint="leave it out, the CPU always has access"
            )
    return ({"prefetch": place} if place else {}) | ({"access": gpus} if gpus else {})


def _neighbours(name: str) -> list[tuple[Machine, int]]:
    """For a machine the first GPU in gpu0's hive and the first outside, as far as there are such."""
    machine = Machine.find(name)
    others = [gpu.index for gpu in machine.gpus[1:]]
    kinds = ([gpu for gpu in others if machine.near(0, gpu) is near][:1] for near in (True, False))
    return [(machine, gpu) for found in kinds for gpu in found]
