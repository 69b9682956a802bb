"""Spans of memory and what they contain, as keys of a step."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, ValidationInfo, model_validator

from svmlab.errors import InputError
from svmlab.scenario.tables import Context, Table, exactly_one
from svmlab.scenario.values import Address, Name, Size, Word

__all__ = ["Contents", "SpanKeys"]

_FARTHEST = 1 << 64


class SpanKeys(Table):
    """The keys of a span: ``on`` with ``offset`` and ``size``, or ``address`` with ``size``."""

    SPAN_NEEDED: ClassVar[bool] = True
    SIZE_NEEDED: ClassVar[bool] = True

    on: Name | None = None
    offset: Size | None = None
    size: Size | None = None
    address: Address | None = None

    @model_validator(mode="after")
    def _one_start(self) -> SpanKeys:
        needed = self.SPAN_NEEDED or bool(self.given("offset", "size"))
        exactly_one(self.given("on", "address"), "on, address", needed=needed)
        if self.address is not None:
            self._check_address(self.address)
        return self

    def _check_address(self, address: int) -> None:
        if self.offset is not None:
            raise InputError("offset goes with on, not with address")
        if self.size is None and self.SIZE_NEEDED:
            raise InputError("size is missing", allowed="address with size, or on = the name of a mapping")
        if address + (self.size or 0) > _FARTHEST:
            raise InputError(f"{self.size} bytes at {address:#x} leave the 64-bit address space")

    @property
    def has_span(self) -> bool:
        """Whether a span is given."""
        return self.on is not None or self.address is not None


class Contents(Table):
    """The keys of contents: at most one of ``byte``, ``word`` and ``pattern``."""

    byte: Annotated[int, Field(ge=0, le=255)] | None = None
    word: Word | None = None
    pattern: Literal["page-number", "word-index"] | None = None

    @model_validator(mode="after")
    def _one_kind(self, info: ValidationInfo) -> Contents:
        given = self.given("byte", "word", "pattern")
        exactly_one(given, "byte, word, pattern", needed=False)
        if given and isinstance(info.context, Context) and not info.context.payload:
            raise InputError(f"{given[0]} asks for contents, but the head says payload = false", hint="payload = true")
        return self

    @property
    def has_contents(self) -> bool:
        """Whether contents are given."""
        return bool(self.given("byte", "word", "pattern"))
