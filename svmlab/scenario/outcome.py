"""What an order led to, as far as it matters: where pages are, what they hold, and what went wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from svmlab.hardware.exploring import Explorer, Pick, Turn
from svmlab.mm.span import Span
from svmlab.scenario.page_names import named, names_of
from svmlab.scenario.runner import Runner
from svmlab.scenario.session import Actor, Session
from svmlab.svm.look import NOWHERE, SWAPPED
from svmlab.units import PAGE_SIZE

__all__ = ["FOR_EVER", "MANY", "Outcome", "Watching", "outcome_of"]

FOR_EVER = -1
MANY = 4
_NAMES = {NOWHERE: "none", SWAPPED: "swapped"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one order. Two orders that led to the same are equal.

    Attributes:
        places: for each mapping, where its pages are.
        contents: for each mapping, what the CPU would read.
        errors: steps that ended with an error, as ``"step 7 cpu_read: SIGBUS"``.
        rescheduled: how often a restore worker gave up; ``MANY`` stands for more, too, and ``FOR_EVER`` for no end.
        queues: ``"running"``, ``"evicted"`` or ``"dead"``.
        wrong: invariants that do not hold, expectations that were not met, tasks that never ended.
        meanwhile: what the CPU or a GPU could reach for a moment and should not have; looked at wherever another task
            goes on.
    """

    places: tuple[str, ...]
    contents: tuple[str, ...]
    errors: tuple[str, ...]
    rescheduled: int
    queues: str
    wrong: tuple[str, ...]
    meanwhile: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether nothing is wrong, or was for a moment."""
        return not self.wrong and not self.meanwhile


class Watching:
    """Picks as another does, and looks at what can be reached wherever that lets another task go on.

    Args:
        pick: the other.
        session: the run.

    Attributes:
        seen: everything that should not have been so, in the order it was seen first.
    """

    def __init__(self, pick: Pick, session: Session) -> None:
        self.pick, self.session = pick, session
        self.seen: dict[str, None] = {}

    def __call__(self, explorer: Explorer, turns: Sequence[Turn]) -> Turn:
        """Who goes on."""
        turn = self.pick(explorer, turns)
        if turn.process is not explorer.current:
            for actor in self.session.actors.values():
                self.seen.update(dict.fromkeys(actor.process.broken_now()))
        return turn


def outcome_of(runner: Runner, broken: str = "", meanwhile: Iterable[str] = ()) -> Outcome:
    """Look at a run that has ended.

    Args:
        runner: it.
        broken: what ended it before its time, if anything did.
        meanwhile: what was seen on the way.
    """
    session, result = runner.session, runner.result
    names = names_of(session)
    wrong = tuple(named(text, names) for text in (*([broken] if broken else ()), *_wrong(runner)))
    mappings = [(name, actor, span) for name, actor in session.actors.items() for span in _mappings(name, actor)]
    log = session.main.log
    given_up = sum(not log[int(at)].fields["done"] for at in log.select("restore_end"))
    endless = runner.explorer is not None and runner.explorer.endless
    return Outcome(
        places=tuple(f"{title}: {_places(session, actor, span)}" for _, actor, (title, span) in mappings),
        contents=tuple(f"{title}: {_contents(actor, span)}" for _, actor, (title, span) in mappings),
        errors=tuple(f"step {step.n} {step.step.do}: {step.error}" for step in result.steps if step.error),
        rescheduled=FOR_EVER if endless else min(given_up, MANY),
        queues=_queues(session),
        wrong=wrong,
        meanwhile=tuple(one for text in meanwhile if (one := named(text, names)) not in wrong),
    )


def _mappings(name: str, actor: Actor) -> Iterator[tuple[str, Span]]:
    for mapping in actor.names.values():
        title = mapping.name if name == "main" else f"{name}'s {mapping.name}"
        yield title, Span(mapping.address, mapping.nbytes)


def _runs(words: list[str]) -> str:
    """Words one after the other, each with how often it comes in a row."""
    runs = [(word, len(list(same))) for word, same in groupby(words)]
    return runs[0][0] if len(runs) == 1 else ", ".join(f"{count} x {word}" for word, count in runs)


def _places(session: Session, actor: Actor, span: Span) -> str:
    found = actor.process.look.locations(span).tolist()
    return _runs([_NAMES.get(one) or session.machine.location_name(one) for one in found])


def _contents(actor: Actor, span: Span) -> str:
    """One number for each page that holds nothing else."""
    if actor.process.driver.memory.bytes is None:
        return "not kept"
    pages = np.asarray(actor.process.look.content(span)).reshape(-1, PAGE_SIZE)
    low, high = pages.min(axis=1).tolist(), pages.max(axis=1).tolist()
    return _runs([str(least) if least == most else "mixed" for least, most in zip(low, high, strict=True)])


def _queues(session: Session) -> str:
    devices = [device for actor in session.actors.values() for device in actor.process.driver.devices]
    if any(device.dead for device in devices):
        return "dead"
    return "running" if all(device.running or device.closed for device in devices) else "evicted"


def _wrong(runner: Runner) -> Iterator[str]:
    broken = list(_broken(runner.session))
    for failure in runner.result.failures:
        if failure.found != "; ".join(broken):  # what the last step says of all invariants is said below
            yield f"step {failure.n}: expected {failure.expected}, found {failure.found}"
    explorer = runner.explorer
    for task, at in explorer.stuck() if explorer and not explorer.endless else ():
        yield f"{task.name} stands {at} for ever"
    yield from broken


def _broken(session: Session) -> Iterator[str]:
    for name, actor in session.actors.items():
        if not actor.process.driver.exited:
            whose = "" if name == "main" else f"{name}: "
            yield from (whose + broken for broken in actor.process.broken_invariants())
