"""The glossary and the index of misconceptions say what the lessons say, and miss nothing of it."""

import re
from collections import Counter
from pathlib import Path

import pytest

from svmlab.course.editions import LESSON
from svmlab.course.pages import Passage, italics, met, named, pages, passages, words
from svmlab.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def known() -> list[Passage]:
    return passages()


def entries() -> list[dict]:
    return words()["word"]


def singular(word: str) -> str:
    return word.removesuffix("ies") + "y" if word.endswith("ies") else word.removesuffix("s")


def lessons() -> list[str]:
    return [path.stem for path in sorted((ROOT / "notebooks" / "source").glob("*.py")) if LESSON.match(path.name)]


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_the_committed_page_is_the_one_that_the_sources_make(path: Path):
    assert path.read_text(encoding="utf-8") == pages()[path], "run make notebooks"


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry["word"])
def test_a_word_is_used_in_the_lesson_and_section_that_the_glossary_names(entry: dict, known: list[Passage]):
    found = met(entry, known)
    source = (ROOT / "notebooks" / "source" / f"{found.lesson}.py").read_text(encoding="utf-8")
    section = source.partition(f"# {found.section}\n")[2].replace("\n# ", " ")
    assert entry.get("as", entry["word"]).lower() in section.lower()


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry["word"])
def test_a_word_is_explained_in_one_short_sentence(entry: dict):
    assert 2 <= len(entry["means"].split()) <= 30
    assert not entry["means"].endswith(".")
    assert set(entry) <= {"word", "means", "as", "kernel"}


def test_every_kernel_symbol_of_the_glossary_is_known():
    text = (ROOT / "tests" / "unit" / "kernel_symbols.txt").read_text(encoding="utf-8")
    symbols = {f"{name} ({file})" for name, file, *_ in map(str.split, text.splitlines()) if name != "#"}
    assert [symbol for entry in entries() for symbol in entry.get("kernel", []) if symbol not in symbols] == []


def test_every_word_that_a_lesson_sets_in_italics_is_in_the_glossary(known: list[Passage]):
    sources = [(ROOT / "notebooks" / "source" / f"{name}.py").read_text(encoding="utf-8") for name in lessons()]
    headings = {heading for text in sources for heading in re.findall(r"^# ##+ (.+)$", text, re.MULTILINE)}
    titles = {passage.title.partition(" ")[2] for passage in known}
    listed = {entry.get("as", entry["word"]) for entry in entries()} | {entry["word"] for entry in entries()}
    allowed = {word.lower().replace("`", "") for word in listed | {*words()["stressed"]} | headings | titles}
    met_words = {(each.lesson, word) for each in known for word in italics(each)}
    missing = {(lesson, word) for lesson, word in met_words if not {word.lower(), singular(word.lower())} & allowed}
    assert missing == set(), "explain it in notebooks/source/glossary.toml, or list it there as stressed"


def test_no_word_is_listed_twice_and_each_stressed_one_is_stressed(known: list[Passage]):
    listed = Counter(entry["word"].lower() for entry in entries())
    assert [word for word, count in listed.items() if count > 1] == []
    written = {word.lower() for passage in known for word in italics(passage)}
    assert [word for word in words()["stressed"] if word.lower() not in written] == []


def test_a_word_that_no_lesson_has_is_refused(known: list[Passage]):
    with pytest.raises(InputError, match="no lesson has 'kumquat'"):
        met({"word": "kumquat"}, known)


def test_every_lesson_names_a_misconception_and_answers_it_in_the_same_paragraph():
    found = named()
    assert {passage.lesson for _, _, passage in found} >= {name for name in lessons() if not name.startswith("A_")}
    for claim, answer, _ in found:
        assert len(answer.split()) >= 8, claim
        assert answer.endswith("."), claim


def test_what_is_in_one_edition_only_is_no_passage(known: list[Passage]):
    assert not [passage for passage in known if "Answers with reasons are in" in passage.text]
    assert not [passage for passage in known if passage.text.startswith("**Why.**")]


def test_the_mark_of_a_list_item_begins_no_italic_word():
    listed = Passage("", "", "", "a*b", listed=True)
    assert italics(listed) == []
    assert not [passage for passage in passages() if re.match(r"\* ", passage.text)]
