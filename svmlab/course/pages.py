"""Pages about the course, made from its sources: ``python -m svmlab.course.pages``.

``docs/glossary.md`` has each word of ``notebooks/source/glossary.toml`` with the place where it is met first;
``docs/misconceptions.md`` has each misconception that a lesson names, and what the survey asks for; the tables of
``docs/instructor.md`` list lessons and exercises.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from svmlab.course.bank.misconceptions import MISCONCEPTIONS
from svmlab.course.desk import desk, renewed
from svmlab.course.editions import EDITIONS, LESSON, read_source, tags_of
from svmlab.errors import InputError

__all__ = ["Passage", "italics", "met", "named", "pages", "passages", "words"]

ROOT = Path(__file__).resolve().parents[2]
_MADE = "<!-- made from notebooks/source by `make notebooks` -->"
_HEADING = re.compile(r"(#{1,3}) (.+)")
_EXERCISE = re.compile(r"\w+\.\d ")
_NEW_PASSAGE = re.compile(r"\n\s*\n|\n(?=\s*(?:[*-]|\d+\.) |\|)")
_MISCONCEPTION = re.compile(r'\*\*A misconception:\*\* "(.+?)" ?(.*)')


@dataclass(frozen=True, slots=True)
class Passage:
    """A paragraph, a list item or a row of a table of a lesson.

    Attributes:
        lesson: the stem of its file.
        title: the lesson's title, with its number.
        section: the heading above it.
        text: what it says, in one line.
        listed: whether it is a list item.
    """

    lesson: str
    title: str
    section: str
    text: str
    listed: bool = False

    @property
    def where(self) -> str:
        """A link to the lesson, and the section."""
        link = f"[{self.title}](../notebooks/{self.lesson}.ipynb)"
        return link if self.section == self.title else f"{link}, *{self.section}*"


def passages(root: Path = ROOT) -> list[Passage]:
    """What the lessons say to everybody, in order; code is left out, and what is in one edition only.

    Args:
        root: the folder of the project.
    """
    sources = sorted((root / "notebooks" / "source").glob("*.py"))
    return [passage for source in sources if LESSON.match(source.name) for passage in _of_lesson(source)]


def _of_lesson(source: Path) -> Iterator[Passage]:
    title = section = ""
    own = {edition.drop for edition in EDITIONS}
    cells = (cell for cell in read_source(source).cells if cell.cell_type == "markdown" and not own & {*tags_of(cell)})
    for text in (" ".join(part.split()) for cell in cells for part in _NEW_PASSAGE.split(cell.source)):
        heading = _HEADING.match(text)
        if heading is None:
            yield Passage(source.stem, title, section, text.removeprefix("* "), text.startswith("* "))
        else:
            section = heading[2]
            title = section if heading[1] == "#" else title


def italics(passage: Passage) -> list[str]:
    """The words of a passage that are set in italics.

    >>> italics(Passage("", "", "", "a *range* is **not** a `*block*`"))
    ['range']
    """
    return re.findall(r"\*([^*]+)\*", re.sub(r"`[^`]*`|\*\*[^*]+\*\*", "", passage.text))


def words(root: Path = ROOT) -> dict[str, Any]:
    """What stands in ``glossary.toml``: ``word``, a list of entries, and ``stressed``.

    Args:
        root: the folder of the project.
    """
    return tomllib.loads((root / "notebooks" / "source" / "glossary.toml").read_text(encoding="utf-8"))


def met(entry: dict[str, Any], known: Iterable[Passage]) -> Passage:
    """Where a word is introduced: the first passage that sets it in italics, else the first outside of exercises.

    Args:
        entry: of the glossary.
        known: the passages of the lessons.

    Raises:
        InputError: no lesson has it.
    """
    written = entry.get("as", entry["word"]).lower()
    whole = re.compile(rf"(?<!\w){re.escape(written)}(?!\w)")
    mentions = [passage for passage in known if whole.search(passage.text.lower())]
    introduced = [passage for passage in mentions if written in map(str.lower, italics(passage))]
    told = [passage for passage in mentions if not _EXERCISE.match(passage.section)]
    if not (introduced or told):
        raise InputError(f"no lesson has {written!r}", hint="correct `as` in notebooks/source/glossary.toml")
    return (introduced or told)[0]


def named(root: Path = ROOT) -> list[tuple[str, str, Passage]]:
    """Each misconception that a lesson names, what the lesson says to it first, and where.

    Args:
        root: the folder of the project.
    """
    known, found = passages(root), []
    for at, passage in enumerate(known):
        claim = _MISCONCEPTION.match(passage.text)
        if claim is not None:
            # what it asks next is answered by an output, which a page has no room for
            told = re.sub(r"(?<=\.) [^.]*\?$", "", claim[2])
            answer = [told.removesuffix(":") + "." * told.endswith(":")]
            answer += [item.text for item in takewhile(lambda item: item.listed, known[at + 1 :])]
            found.append((claim[1], " ".join(answer), passage))
    return found


def pages(root: Path = ROOT) -> dict[Path, str]:
    """Each page by its path.

    Args:
        root: the folder of the project.

    Raises:
        InputError: a word of the glossary is in no lesson.
    """
    made = {"glossary.md": _glossary(root), "misconceptions.md": _misconceptions(root)}
    return {**{root / "docs" / name: text for name, text in made.items()}, desk(root): renewed(root)}


def _glossary(root: Path) -> str:
    known = passages(root)
    entries = sorted(words(root)["word"], key=lambda entry: str(entry["word"]).lower())
    rows = ((entry["word"], entry["means"], _symbols(entry), met(entry, known).where) for entry in entries)
    lead = (
        "The words of the course, what the driver calls them if it has a symbol for them, and where they are met first."
    )
    return _page("# Glossary", lead, _table(("word", "means", "in the kernel", "met in"), rows))


def _symbols(entry: dict[str, Any]) -> str:
    return ", ".join(re.sub(r"^(\w+)", r"`\1`", symbol) for symbol in entry.get("kernel", [])) or "-"


def _misconceptions(root: Path) -> str:
    rows = ((claim, answer, passage.where) for claim, answer, passage in named(root))
    asked = ((question.asks, question.rule) for question in MISCONCEPTIONS.questions)
    return _page(
        "# Misconceptions",
        "What people believe before they have seen it, and where the course shows that it is not so.",
        _table(("it is believed that", "but", "shown in"), rows),
        "## What the survey asks",
        "The [survey](../notebooks/survey.ipynb) before and after the course; what is right is found by running it.",
        _table(("question", "why it comes out as it does"), asked),
    )


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _page(*blocks: str) -> str:
    return "\n\n".join((_MADE, *blocks)) + "\n"


def main() -> None:
    """Write the pages."""
    for path, text in pages().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"made {path.name}")


if __name__ == "__main__":
    main()
