"""The rules of DESIGN.md, "Notebooks", that can be counted or looked up."""

import re
import statistics
from itertools import pairwise
from pathlib import Path

import pytest

from svmlab import widgets
from svmlab.course import bank
from svmlab.course.editions import LESSON, read_source

ROOT = Path(__file__).resolve().parents[2]
SYMBOLS = ROOT / "tests" / "unit" / "kernel_symbols.txt"

SKELETON = (
    "You will be able to",
    "Setup",
    "Warm-up",
    "Predict",
    "Run",
    "Explain",
    "Explore",
    "Exercises",
    "Key points",
    "From model to kernel",
    "From HIP to here",
    "Next",
)
OPTIONAL = {"From HIP to here"}
CELLS, SOLVED_CELLS = range(25, 46), range(25, 51)
LINES_CAP, LINES_MEDIAN = 15, 4
WORDS_PER_LINE = (10, 20)

# A word that can only be the kernel's; a name followed by its file is checked whatever it begins with.
KERNEL_WORD = re.compile(r"`((?:svm_|migrate_vma|kgd2kfd_|kfd_|amdgpu_|hmm_|mmu_|AMDGPU_|AMDKFD_|KFD_)\w+)`")
KERNEL_CITATION = re.compile(r"`(\w+)` \(([\w-]+\.[ch])\)")


def symbols() -> set[tuple[str, str]]:
    lines = (line.split() for line in SYMBOLS.read_text(encoding="utf-8").splitlines())
    return {(line[0], line[1]) for line in lines if len(line) == 3}


def lines(cell) -> list[str]:
    return [line for line in cell.source.splitlines() if line.strip() and not line.strip().startswith("#")]


def test_there_is_a_notebook():
    assert sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


def test_the_title_has_the_number_of_the_file(nb):
    (title,) = nb.headings(1)
    assert title.split()[0] == nb.number
    assert nb.cells[0].source.startswith(f"# {title}\n")


def test_below_the_title_are_one_question_and_the_time(nb):
    assert re.search(r"^\*\*[^*]+\?\*\*$", nb.cells[0].source, re.MULTILINE)
    assert re.search(r"\b\d+ minutes\b", nb.cells[0].source)


def test_the_sections_are_those_of_the_skeleton_in_its_order(nb):
    found = nb.headings(2)
    assert found == [name for name in SKELETON if name in found]
    assert set(SKELETON) - set(found) <= OPTIONAL


def test_headings_go_down_one_level_at_a_time(any_nb):
    levels = [len(marks) for marks in re.findall(r"^(#+) ", any_nb.prose, re.MULTILINE)]
    assert [(a, b) for a, b in pairwise(levels) if b > a + 1] == []


def test_three_things_to_be_able_to_each_begin_with_a_verb(nb):
    assert len(re.findall(r"^\* \*\*[a-z]+\*\* ", nb.section("You will be able to"), re.MULTILINE)) == 3


def test_the_number_of_cells_fits_a_sitting(nb):
    assert len(nb.cells) in (CELLS if nb.is_learners else SOLVED_CELLS)


def test_cells_are_short(nb):
    sizes = {cell.id: len(cell.source.splitlines()) for cell in nb.code}
    assert {name: size for name, size in sizes.items() if size > LINES_CAP} == {}
    assert statistics.median(sizes.values()) <= LINES_MEDIAN


def test_there_is_neither_too_little_nor_too_much_prose(learners):
    prose = re.sub(r"^\|.*$|`[^`]*`", "", learners.prose, flags=re.MULTILINE)
    words = len(re.findall(r"[A-Za-z][\w'-]*", prose))
    code = sum(len(lines(cell)) for cell in learners.code)
    least, most = WORDS_PER_LINE
    assert least <= words / code <= most, f"{words} words, {code} lines of code"


def test_every_code_cell_was_executed_in_order_on_a_fresh_kernel(any_nb):
    assert [cell.execution_count for cell in any_nb.code] == list(range(1, len(any_nb.code) + 1))


def test_no_output_is_an_error_or_a_warning(any_nb):
    bad = [
        cell.id
        for cell in any_nb.code
        for output in cell.outputs
        if output.output_type == "error" or output.get("name") == "stderr"
    ]
    assert bad == []


def test_a_figure_has_alt_text_and_a_twin_in_words(any_nb):
    for cell in any_nb.code:
        figures = [output for output in cell.outputs if "image/png" in output.get("data", {})]
        said = [output for output in cell.outputs if output.output_type in ("stream", "execute_result")]
        for figure in figures:
            assert len(figure.metadata["image/png"]["alt"]) > 40, cell.id
            assert figure.data["text/plain"].startswith("<Figure: "), "nbval compares it, so it must not name a size"
        assert len(said) >= len(figures), f"{cell.id} shows a picture that nothing tells"


@pytest.mark.parametrize(
    ("what", "why"),
    [
        (r";\s*$", "nbval does not see that a ; at the end hides a value"),
        (r"\b(Output|interact|interactive|clear_output)\b", "nbval does not capture what these print"),
        (r"\b(plt|pyplot)\b", "pictures are made in svmlab.views"),
        (r"\b(time|random|datetime)\.\w+\(", "an output must be the same each time"),
        (r"^\s*[%!]", "magic commands and shell commands do not run everywhere"),
    ],
)
def test_code_cells_keep_away_from(any_nb, what: str, why: str):
    assert [cell.id for cell in any_nb.code if re.search(what, cell.source, re.MULTILINE)] == [], why


def test_nothing_is_exclaimed(any_nb):
    assert re.findall(r"\w+!(?=\s|$)", re.sub(r"`[^`]*`", "", any_nb.prose)) == []


def test_every_kernel_symbol_is_known(any_nb):
    known = symbols()
    names = {name for name, _ in known}
    assert [cited for cited in KERNEL_CITATION.findall(any_nb.prose) if cited not in known] == []
    assert [name for name in KERNEL_WORD.findall(any_nb.prose) if name not in names] == []


def test_the_kernel_section_names_symbols_and_a_defect(nb):
    text = nb.section("From model to kernel")
    assert len(KERNEL_CITATION.findall(text)) >= 5
    assert re.search(r"\b[DX]\d+\b", text)


def test_links_between_files_lead_somewhere(any_nb):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", any_nb.prose)
    assert [link for link in links if "://" not in link and not (any_nb.path.parent / link).exists()] == []


def test_links_leave_the_course_only_in_the_last_two_sections(nb):
    early = "\n".join(nb.section(name) for name in SKELETON[:-3])
    assert "://" not in early


def test_every_widget_has_questions_and_a_static_twin_in_the_next_code_cell(nb):
    cells = nb.code
    shown = [at for at, cell in enumerate(cells) if "nbval-ignore-output" in cell.metadata.get("tags", [])]
    assert shown, "Explore has a widget"
    for at in shown:
        assert ".static()" in cells[at + 1].source
        assert cells[at + 1].metadata.get("tags") is None
    assert 2 <= len(re.findall(r"^\d\. .*\?", nb.section("Explore"), re.MULTILINE)) <= 3


def test_only_widget_cells_are_not_compared(any_nb):
    ignored = [cell for cell in any_nb.code if cell.metadata.get("tags")]
    assert [cell.id for cell in ignored if not any(is_widget(output) for output in cell.outputs)] == []


def is_widget(output) -> bool:
    text = str(output.get("data", {}).get("text/plain", ""))
    return any(text.startswith(f"{name}:") for name in widgets.__all__)


def test_explain_names_a_misconception(nb):
    assert "**A misconception" in nb.section("Explain")


def test_at_most_five_key_points_each_point_at_an_output(nb):
    points = re.findall(r"^\* (.+(?:\n .+)*)", nb.section("Key points"), re.MULTILINE)
    assert 1 <= len(points) <= 5
    assert [point for point in points if not re.search(r"\(.*(\*|`).*\)|`sl\.|`p\.", point)] == []


def test_every_exercise_and_prediction_of_the_bank_is_in_its_notebook(nb):
    code = "\n".join(cell.source for cell in nb.code)
    for each in [*bank.exercises(), *bank.predictions()]:
        assert not each.startswith(f"{nb.number}.") or f'"{each}"' in code


def test_the_text_of_a_prediction_names_every_question_and_choice(nb):
    text = nb.section("Predict")
    for number, asked in bank.predictions().items():
        if number.startswith(f"{nb.number}."):
            assert [question.name for question in asked.questions if f"`{question.name}`" not in text] == []
            assert [c for question in asked.questions for c in question.choices if f'`"{c}"`' not in text] == []


def test_an_unsolved_notebook_prints_that_nothing_was_tried(learners):
    checks = [cell for cell in learners.code if "check(" in cell.source]
    printed = [output.text for cell in checks for output in cell.outputs]
    assert len(printed) == len(checks) > 0
    assert [text for text in printed if not re.fullmatch(r"([\w.]+ not tried yet\n)+", text)] == []


def test_a_solved_notebook_gets_everything_right(solved):
    printed = [o.text for cell in solved.code if "check(" in cell.source for o in cell.outputs]
    assert [text for text in printed if not re.fullmatch(r"([\w.]+ right(: \d+ cases)?\n)+", text)] == []


@pytest.mark.parametrize("source", sorted((ROOT / "notebooks" / "source").glob("*.py")), ids=lambda path: path.stem)
def test_every_stub_is_followed_by_its_solution(source: Path):
    tags = [cell.metadata.get("tags", []) for cell in read_source(source).cells]
    stubs = [at for at, names in enumerate(tags) if "stub" in names]
    assert stubs or not LESSON.match(source.name)
    assert [at for at in stubs if "solution" not in tags[at + 1]] == []


def test_every_solution_says_why(solved):
    exercises = [number for number in bank.exercises() if re.fullmatch(solved.number + r"\.\d+", number)]
    assert solved.section("Exercises").count("**Why.**") == len(exercises)
