"""The kernel's memory management, as far as a GPU driver meets it."""

from svmlab.mm.span import Span

__all__ = ["Span"]
