"""Pages in messages, called by the names of the mappings they lie in."""

from __future__ import annotations

import re

from svmlab.mm.span import Span
from svmlab.scenario.session import Session

__all__ = ["Names", "named", "names_of"]

Names = list[tuple[str, Span]]
"""What mappings are called, and where they lie."""

_PAGE = r"(0x[0-9a-f]{6,})"
_PAGES = re.compile(rf"(?:\bpages? )?(?:\[{_PAGE}, {_PAGE}\]|{_PAGE} to {_PAGE}|{_PAGE})")


def names_of(session: Session) -> Names:
    """The mappings that the process ``main`` of a run has given names."""
    return [(one.name, Span(one.address, one.nbytes)) for one in session.actors["main"].names.values()]


def named(text: str, names: Names) -> str:
    """The text with pages of these mappings by name.

    >>> named("gpu0 unmaps [0x7e0000001, 0x7e0000002]", [("a", Span.of_pages(0x7E0000000, 0x7E0000003))])
    'gpu0 unmaps pages 1 to 2 of a'
    """

    def name(match: re.Match[str]) -> str:
        numbers = [int(number, 16) for number in match.groups() if number]
        start, last = numbers[0], numbers[-1]
        for title, span in names:
            if span.start <= start and last <= span.last:
                return _pages(title, span, start, last)
        return match[0]

    return _PAGES.sub(name, text)


def _pages(title: str, span: Span, start: int, last: int) -> str:
    if (start, last) == (span.start, span.last):
        return title
    first = start - span.start
    return f"page {first} of {title}" if start == last else f"pages {first} to {last - span.start} of {title}"
