"""Each defect has a scenario that passes as posted and whose marked steps fail as intended; and each can be found."""

import pytest

from svmlab.errors import InputError
from svmlab.resources import data_path
from svmlab.scenario.format import Overrides
from svmlab.scenario.races import explore
from svmlab.scenario.runner import load_scenario, run
from svmlab.svm.process import Process

FOLDER = data_path("scenarios") / "defects"
DEFECTS = sorted(path.stem for path in FOLDER.glob("*.toml"))
MARK = "Defect: "
PAGES = 4


def scenario(name, behaviour=None):
    return load_scenario(FOLDER / f"{name}.toml", Overrides(behaviour=behaviour))


def marked(name):
    return [n for n, step in enumerate(scenario(name).steps, start=1) if (step.note or "").startswith(MARK)]


def test_nine_defects_are_documented():
    assert len(DEFECTS) == 9
    page = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    assert [name for name in DEFECTS if f"`defects/{name}.toml`" not in page] == []


@pytest.mark.parametrize("name", DEFECTS)
def test_as_posted_it_happens_as_written(name):
    made = scenario(name)
    assert made.head.behaviour == "as-posted"
    assert made.title.startswith(f"{name.partition('-')[0].upper()}: ")
    assert marked(name)
    assert run(made).failures == []


@pytest.mark.parametrize("name", [name for name in DEFECTS if not name.startswith("x50")])
def test_as_intended_exactly_what_is_marked_fails(name):
    assert {failure.n for failure in run(scenario(name, "as-intended")).failures} == set(marked(name))


def test_x50_cannot_even_be_ordered_as_intended():
    """The second reclaim waits, so the order does not fit; and in no order is the store lost."""
    with pytest.raises(InputError, match="'main: swap_out #2' cannot go on"):
        run(scenario("x50-queues-still-run", "as-intended"))
    races = explore(FOLDER / "x50-queues-still-run.toml", behaviour="as-intended", preemptions=1)
    (step,) = marked("x50-queues-still-run")
    stored = [found.outcome for found in races.found if found.outcome.contents[1] == "b: 1 x 9, 3 x 2"]
    assert sum(found.orders for found in races.found) == sum(
        found.orders for found in races.found if found.outcome in stored
    )
    assert all(outcome.wrong[0].startswith(f"step {step}: expected byte = 0x02") for outcome in stored)
    assert all(outcome.meanwhile == () for outcome in stored)


FOUND = {
    ("pressure-cpu-fault", "X1"): "b (page 0) is 0x00, not 0x02",
    ("set-attr-set-attr", "X22"): "gpu0 maps 6 pages to frames that do not hold them",
    ("fork-prefetch", "X36"): "SIGBUS: page 0 of a is in VRAM, and no range of its process covers it",
    ("two-ranges-reclaimed", "X50"): "gpu0 maps 1 page to a frame that does not hold it: page 0 of b",
}


@pytest.mark.parametrize(("race", "defect"), FOUND)
def test_exploring_the_shipped_races_as_posted_finds_it(race, defect):
    races = explore(FOLDER.parent / "races" / f"{race}.toml", behaviour="as-posted", preemptions=1)
    wrong = {text for found in races.found for text in (*found.outcome.wrong, *found.outcome.meanwhile)}
    assert any(FOUND[race, defect] in text for text in wrong), wrong


def test_exploring_finds_the_restore_that_starts_over_without_a_reason():
    """X34: as posted the worker starts over in orders in which, as intended, it does not."""

    def given_up(behaviour):
        races = explore(FOLDER.parent / "races/set-attr-set-attr.toml", behaviour=behaviour, preemptions=1)
        return {found.outcome.rescheduled for found in races.found}

    assert (given_up("as-posted"), given_up("as-intended")) == ({0, 1}, {0})


def after_a_failure(behaviour, fault, nth, *, home):
    """What is wrong after the nth step of its kind failed on the way to VRAM, or home."""
    p = Process("toy", vram="256 KiB", ram="1 MiB", behaviour=behaviour)
    a = p.mmap("4 pages", name="a")
    p.cpu_write(a, 7)
    p.vram_layout("gpu0", [(8, 2), (16, 2)])
    if home:
        p.set_attr(a, access=["gpu0"], prefetch="gpu0")
        p.run()
    p.inject(fault, nth=nth)
    handle = p.start.set_attr(a, access=["gpu0"], prefetch="cpu" if home else "gpu0")
    p.run(for_ns="1 ms")
    held = p.look.content(a.span)
    lost = sum(bool((held[at * 4096 : (at + 1) * 4096] != 7).any()) for at in range(PAGES))
    return (handle.error is None, lost, [broken.partition(":")[0] for broken in p.broken_invariants()])


FAULTS = [
    (fault, nth) for fault in ("vram_alloc", "ram_alloc", "dma_map", "copy", "fence", "setup") for nth in (1, 2, 3)
]


@pytest.mark.parametrize("home", [False, True], ids=["to VRAM", "home"])
@pytest.mark.parametrize(("fault", "nth"), FAULTS)
def test_as_intended_no_failure_of_a_step_loses_anything(fault, nth, home):
    assert after_a_failure("as-intended", fault, nth, home=home)[1:] == (0, [])


def test_failing_each_step_as_posted_finds_three_defects():
    """Every call says that it succeeded all the same."""
    wrong = {
        (fault, nth, home): found
        for fault, nth in FAULTS
        for home in (False, True)
        if (found := after_a_failure("as-posted", fault, nth, home=home))[1:] != (0, [])
    }
    vram_is_gone = (True, 0, ["device pages have a buffer", "no VRAM page is lost"])
    x2 = [("copy", 1), ("copy", 2)] + [(fault, nth) for fault in ("dma_map", "ram_alloc") for nth in (1, 2, 3)]
    assert wrong == {
        ("copy", 1, False): (True, 1, []),  # X14
        ("fence", 1, False): (True, 4, []),  # X6
        **{(fault, nth, True): vram_is_gone for fault, nth in x2},
    }
