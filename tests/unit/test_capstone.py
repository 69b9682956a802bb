"""The capstone: workloads by seed, and a score that comes from a run."""

import re

import pytest

from svmlab.course.capstone import budget, grade, judge, model_plan, pays
from svmlab.course.placement import MOST_CALLS, play
from svmlab.course.workload import PUBLIC, workload
from svmlab.errors import InputError, SvmError
from svmlab.units import PAGE_SIZE

SEEDS = range(12)


def pages(npages: int) -> int:
    return npages * PAGE_SIZE


@pytest.mark.parametrize("seed", SEEDS)
def test_a_workload_uses_pages_that_its_buffers_have(seed: int):
    work = workload(seed)
    assert [use for use in work.uses if not 0 <= use.first <= use.last < work.buffers[use.buffer]] == []
    assert {use.buffer for use in work.uses} == set(work.buffers)


@pytest.mark.parametrize("seed", SEEDS)
def test_pieces_are_the_pages_that_are_used_each_of_them_once(seed: int):
    work = workload(seed)
    for name in work.buffers:
        cut = [(page, piece) for piece in work.pieces() if piece.buffer == name for page in span(piece)]
        used = sorted({page for use in work.uses if use.buffer == name for page in span(use)})
        assert [page for page, _ in cut] == used
        for page, piece in cut:
            its = [use for use in work.uses if use.buffer == name and page in span(use) and use.who != ("cpu",)]
            assert piece.touches == sum(len(use.who) * len(use.rounds) for use in its)


def span(part) -> range:
    return range(part.first, part.last + 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_pays_fits_into_a_hive_but_not_into_one_gpu(seed: int):
    work = workload(seed)
    for hive in work.hives:
        wanted = sum(piece.npages for piece in work.pieces() if pays(piece, work) and piece.gpus[0] in hive)
        assert wanted <= len(hive) * work.vram_pages
    everything = sum(piece.npages for piece in work.pieces() if pays(piece, work))
    assert everything > work.vram_pages


def test_the_same_seed_gives_the_same_workload_and_another_one_another():
    assert workload(PUBLIC) == workload(PUBLIC)
    assert len({str(workload(seed)) for seed in SEEDS}) == len(SEEDS)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_model_placement_keeps_to_the_budget_and_every_simpler_one_does_not(seed: int):
    def nothing(work):
        return [(piece.buffer, piece.first, piece.last, {"access": piece.gpus}) for piece in work.pieces()]

    def all_on_one(work):
        return [
            (name, first, last, asked | ({"prefetch": "gpu0"} if "prefetch" in asked else {}))
            for name, first, last, asked in model_plan(work)
        ]

    assert judge(seed, model_plan) is None
    assert judge(seed, nothing) is not None
    assert judge(seed, all_on_one) is not None


def test_a_score_adds_up_what_each_piece_carries():
    work = workload(PUBLIC)
    expected = 0
    for piece in work.pieces():
        crossings = (2 + piece.after if piece.read_by_cpu else 1) if pays(piece, work) else piece.touches
        expected += piece.npages * crossings
    assert play(work, model_plan(work)).carried_bytes == pages(expected)


def test_queues_that_are_never_stopped_stand_still_for_no_time():
    work = workload(PUBLIC)
    score = play(work, [(p.buffer, p.first, p.last, {"access": p.gpus}) for p in work.pieces()])
    assert (score.stopped_ns, sum(score.moved.values())) == (0, 0)


def test_the_time_of_stops_is_that_of_the_gpu_that_stood_still_longest():
    work = workload(PUBLIC)
    score = play(work, model_plan(work))
    log = score.process.log
    spans = {}
    for event in log.events("queue_eviction", "queue_restore"):
        sign = -1 if event.name == "queue_eviction" else 1
        spans[event.fields["gpu"]] = spans.get(event.fields["gpu"], 0) + sign * event.time_ns
    assert score.stopped_ns == max(spans.values())


def test_a_budget_is_larger_than_what_the_model_costs_by_about_a_tenth():
    work = workload(PUBLIC)
    score, allowed = play(work, model_plan(work)), budget(work)
    assert 1.09 <= allowed.carried_bytes / score.carried_bytes <= 1.14
    assert 1.09 <= allowed.stopped_ns / score.stopped_ns <= 1.14
    assert allowed.allows(score)


def test_a_grader_passes_seeds_and_gets_what_is_wrong_with_each():
    told = grade(lambda work: [] if work.seed == 101 else model_plan(work), [100, 101])
    assert told[100] == ""
    assert "cannot read page" in told[101]


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (None, "the plan None; allowed: a list of calls"),
        ([("weights", 0, 1)], "allowed: (buffer, first page, last page, attributes)"),
        ([("weights", 0, 1, "gpu0")], "allowed: (buffer, first page, last page, attributes)"),
        ([("nothing", 0, 1, {})], "a buffer 'nothing'; allowed: weights, grid"),
        ([("weights", 0, 99_999, {"access": ["gpu0"]})], "allowed: pages 0 to"),
        ([("weights", 0, 0, {})] * (MOST_CALLS + 1), f"a plan of {MOST_CALLS + 1} calls; allowed: {MOST_CALLS}"),
        ([("weights", 0, 0, {"prefetch": "gpu9"})], "gpu9"),
        ([("weights", 0, 0, {"acess": ["gpu0"]})], "acess"),
    ],
)
def test_a_plan_that_is_none_is_refused_in_words(plan, message: str):
    with pytest.raises(SvmError, match=re.escape(message)):
        play(workload(PUBLIC), plan)


@pytest.mark.parametrize("seed", [-1, 1.5, True, "3", None])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(InputError, match="allowed: a whole number, 0 or more"):
        workload(seed)
