"""A file is either a scenario that can be run, or one line that says where it is wrong and what is allowed."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svmlab.errors import InputError
from svmlab.hardware.toml_file import MAX_BYTES
from svmlab.resources import data_path
from svmlab.scenario.actions import ACTIONS
from svmlab.scenario.format import Overrides, Scenario, load, loads, parse
from svmlab.scenario.steps import STEPS
from svmlab.units import MIB

HEAD = 'title = "t"\nmachine = "toy"\n'
A = '[[step]]\ndo = "mmap"\nname = "a"\nsize = "4 MiB"\n'


def step(do: str, rest: str = "") -> str:
    return f'[[step]]\ndo = "{do}"\n{rest}\n'


STARTS = {"file": "", "head": HEAD, "mapping": HEAD + A}
CASE = re.compile(r"^@(file|head|mapping)\n(.*?)^=> ([^\n]*)$", re.DOTALL | re.MULTILINE)
TABLE = (Path(__file__).parents[1] / "scenarios" / "bad-files.txt").read_text(encoding="utf-8")
BAD = [(STARTS[start] + text, line) for start, text, line in CASE.findall(TABLE)]


def test_the_table_of_bad_files_is_read_to_its_end():
    assert len(BAD) == TABLE.count("\n=> ") == TABLE.count("\n@")


@pytest.mark.parametrize(("text", "line"), BAD, ids=[line[:60] for _, line in BAD])
def test_a_bad_file_is_one_line_that_says_where_and_what_is_allowed(text: str, line: str, tmp_path: Path):
    path = tmp_path / "bad.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load(path)
    told = re.sub(r": line \d+(?=: )", "", str(caught.value)) if not line.startswith("line ") else str(caught.value)
    assert told == f"{path}: {line}"


LINES = [
    (HEAD + "# a comment\nseed = -1\n", ": line 4: key seed: "),
    (HEAD + A + '\n[[step]]\ndo = "munmap"\n\non = "b"\n', ": line 11: step 2 (munmap), key on: "),
    (HEAD + A + '[[step]]\ndo = "munmap"\n', ": line 7: step 2 (munmap): none of on, address"),
    (
        HEAD + A + ' [[ step ]]\ndo = "get_attr"\non = "a"\n"expect"  = {seed = 1}',
        ": line 10: step 2 (get_attr), key exp",
    ),
    (
        HEAD + A + '[[step]]\ndo = "get_attr"\non = "a"\nexpect.granularity = -1',
        ": line 10: step 2 (get_attr), key exp",
    ),
    ('machine = "toy"\n', ": key title is missing"),
    (HEAD + 'step = [{do = "run", for = -1}]\n', ": step 1 (run), key for: "),
]


@pytest.mark.parametrize(("text", "told"), LINES, ids=[told[:30] for _, told in LINES])
def test_an_error_names_the_line_of_the_key_if_it_can_be_told(text: str, told: str, tmp_path: Path):
    path = tmp_path / "bad.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}{told}")


def test_what_would_take_long_or_deep_to_parse_is_refused_at_once():
    with pytest.raises(InputError, match=r"^scenario: lists or tables are nested too deeply$"):
        loads("x = " + "[" * 5000)
    with pytest.raises(InputError, match=r"^scenario: line 2: a key of 32 parts and more; allowed: up to 31$"):
        loads("\n" + ".".join("a" * 5000) + " = 1")
    with pytest.raises(InputError, match=r"^scenario: not TOML: a number has too many digits$"):
        loads("x = " + "9" * 5000)


def test_the_message_of_a_wrong_behaviour_is_the_one_of_the_driver():
    with pytest.raises(InputError, match=r"^scenario: key behaviour: .*posted"):
        loads(HEAD + 'behaviour = "posted"')
    with pytest.raises(InputError, match=r"^scenario: key behaviour: .*no_such_slot"):
        loads(HEAD + 'behaviour = {base = "as-posted", no_such_slot = "x"}')


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path):
    for path in (tmp_path, tmp_path / "none.toml", tmp_path / "a\0b"):
        with pytest.raises(InputError, match="cannot be read"):
            load(path)
    (tmp_path / "latin.toml").write_bytes(b'\ntitle = "\xe9"')
    with pytest.raises(InputError, match=r"line 2: not UTF-8 text"):
        load(tmp_path / "latin.toml")


def test_a_huge_file_is_refused_before_it_is_parsed(tmp_path: Path):
    (tmp_path / "huge.toml").write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(InputError, match="is too large; allowed: up to 4 MiB"):
        load(tmp_path / "huge.toml")


def test_a_step_the_runner_does_not_know_is_not_yet_known():
    with pytest.raises(
        InputError, match=r"^scenario: step 1 \(mark\), key do: 'mark' is not yet known to this version; allowed: run$"
    ):
        loads(HEAD + step("mark"), known=["run"])


def test_the_runner_knows_every_step_of_the_format():
    assert set(ACTIONS) == set(STEPS)


def test_the_head_has_the_defaults_of_the_format():
    head = loads(HEAD).head
    assert (head.xnack, head.behaviour, head.seed, head.payload) == ("off", "as-intended", 0, True)
    assert loads(HEAD).steps == ()


def test_memory_sizes_of_the_head_reach_the_machine():
    machine = loads(HEAD + 'vram = "64 MiB"\nram = "1 GiB"').machine
    assert ([gpu.vram_bytes for gpu in machine.gpus], machine.ram_bytes) == ([64 * MIB] * 3, 1024 * MIB)


def test_the_command_line_replaces_what_the_head_says():
    over = Overrides(machine="mi300x-8", xnack="on", behaviour="upstream", seed=7)
    scenario = loads(HEAD + 'xnack = "off"', over)
    assert (scenario.machine.name, scenario.head.xnack) == ("mi300x-8", "on")
    assert (scenario.head.behaviour, scenario.head.seed) == ("upstream", 7)


def test_a_wrong_value_on_the_command_line_is_not_blamed_on_the_file():
    with pytest.raises(InputError, match=r"^--behaviour: key behaviour: "):
        loads(HEAD, Overrides(behaviour="posted"))
    with pytest.raises(InputError, match=r"^--machine: key machine: there is no machine 'toi'"):
        loads(HEAD, Overrides(machine="toi"))


def test_gpus_are_checked_against_the_machine_of_the_command_line():
    text = HEAD + step("create_queue", 'gpu = "gpu7"')
    assert loads(text, Overrides(machine="mi300x-8")).steps
    with pytest.raises(InputError, match="no gpu7"):
        loads(text)


def test_a_machine_path_starts_at_the_folder_of_the_file(tmp_path: Path):
    source = data_path("machines", "toy.toml").read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(source, encoding="utf-8")
    (tmp_path / "s.toml").write_text('title = "t"\nmachine = "mine.toml"', encoding="utf-8")
    assert load(tmp_path / "s.toml").machine.name == "toy"
    with pytest.raises(InputError, match="there is no machine"):
        load(tmp_path / "s.toml", Overrides(machine="mine.toml"))


def test_a_sweep_may_hold_anything():
    assert loads(HEAD + '[sweep]\nseed = [1, 2]\n"step.2.size" = ["1 MiB"]').head.sweep


def test_a_name_may_come_from_either_of_two_alternatives():
    text = HEAD + "".join(A.replace('"a"', f'"a"\nonly = {{xnack = "{mode}"}}') for mode in ("on", "off"))
    scenario = loads(text + step("munmap", 'on = "a"'))
    assert [scenario.applies(one) for one in scenario.steps] == [False, True, True]


@pytest.mark.parametrize(
    ("head", "applies"),
    [('"as-posted"', True), ('{base = "as-posted", fence_error = "returned"}', True), ('"upstream"', False)],
)
def test_only_looks_at_the_preset_that_a_behaviour_starts_from(head: str, applies: bool):
    scenario = loads(HEAD + f"behaviour = {head}\n" + step("run", 'only = {behaviour = "as-posted"}'))
    assert scenario.applies(scenario.steps[0]) is applies


def test_the_driver_is_asked_what_only_the_driver_can_answer():
    questions = [
        step("mmap", "size = 0"),
        step("mmap", "size = 4096\nat = 3"),
        step("munmap", "address = 1\nsize = 0"),
        step("set_attr", 'address = 0\nsize = 4096\nprefetch = "undefined"'),
        step("set_attr", "address = 0\nsize = 3\nraw = [[77, 4294967295]]"),
        step("gpu_copy", 'gpu = "gpu0"\nfrom = {address = 0, size = 1}\nto = {address = 1}'),
    ]
    assert len(loads(HEAD + "".join(questions)).steps) == len(questions)


def test_a_machine_wide_step_needs_no_living_process():
    text = HEAD + step("exit") + step("run") + step("mark") + step("expect", "consistent = true")
    assert len(loads(text).steps) == 4


def as_tables(scenario: Scenario) -> dict[str, object]:
    steps = [one.model_dump(by_alias=True, exclude_unset=True) for one in scenario.steps]
    return {**scenario.head.model_dump(exclude_unset=True), "step": steps}


@pytest.mark.parametrize("path", sorted(data_path("scenarios").rglob("*.toml")), ids=lambda path: path.stem)
def test_a_shipped_scenario_reads_back_as_the_same_scenario(path: Path):
    scenario = load(path)
    again = parse(as_tables(scenario))
    assert (again.steps, again.head.title) == (scenario.steps, scenario.head.title)
    assert as_tables(again) == as_tables(scenario)


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")))
def test_any_text_is_a_scenario_or_one_line(text: str):
    assert refusal(lambda: loads(text)).isprintable()
    assert refusal(lambda: loads(HEAD + '[[step]]\ndo = "expect"\n' + text)).isprintable()


VALUES = st.recursive(
    st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["gpu0", "cpu", "a", "...", "4 KiB"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["event", "on", "min", "gpu0"]), inner),
    max_leaves=6,
)
KEYS = sorted({key for model in STEPS.values() for key in model.file_keys()} - {"do"})


@given(st.sampled_from(sorted(STEPS)), st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4))
def test_any_table_is_a_step_or_one_line(do: str, table: dict[str, object]):
    steps = [{"do": "mmap", "name": "a", "size": 4096}, {"do": do, **table}]
    complaint = refusal(lambda: parse({"title": "t", "machine": "toy", "step": steps}))
    assert not complaint or complaint.startswith(f"scenario: step 2 ({do})")
    assert complaint.isprintable()


def refusal(read: Callable[[], Scenario]) -> str:
    """The line a file is refused with, or nothing."""
    try:
        read()
    except InputError as error:
        return str(error)
    return ""
