"""Running a scenario: step after step on a simulated machine, judging each one when it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from typing import TYPE_CHECKING

from svmlab.errors import InputError, SvmError, SvmTimeoutError
from svmlab.hardware.exploring import Explorer, Pick
from svmlab.scenario.actions import ACTIONS, OVER, Begun
from svmlab.scenario.complaints import Place
from svmlab.scenario.event_log import all_counts
from svmlab.scenario.format import Overrides, Scenario, load
from svmlab.scenario.orders import Following, MisfitError, parse_order
from svmlab.scenario.result import Failure, Result, StepResult
from svmlab.scenario.session import MissingNameError, Session
from svmlab.scenario.steps import AnyStep, Run
from svmlab.scenario.values import same_error
from svmlab.units import SEC

if TYPE_CHECKING:
    from svmlab.svm.behaviour import Behaviour
    from svmlab.svm.handle import Handle
    from svmlab.svm.process import Process

__all__ = ["Runner", "Watch", "check_explorable", "load_scenario", "process_of", "run"]

Watch = Callable[[StepResult], None]
"""Told of each step when it is judged."""


def load_scenario(path: str | PathLike[str], overrides: Overrides | None = None) -> Scenario:
    """Read and check a scenario file that this version can run.

    Args:
        path: the file; paths inside it start at its folder.
        overrides: values that replace those of the head.

    Raises:
        InputError: the file cannot be used, in one line.
    """
    return load(path, overrides, known=ACTIONS)


def process_of(scenario: Scenario, behaviour: Behaviour | None = None, *, explorable: bool = False) -> Process:
    """Make the process ``main`` of a scenario, on its machine, before its first step.

    Args:
        scenario: whose.
        behaviour: over what its head says.
        explorable: on a machine where orders can be explored; one with an order is so in any case.

    Raises:
        InputError: the machine cannot be set up as the head says.
    """
    from svmlab.svm.process import Process

    head = scenario.head
    try:
        return Process(
            scenario.machine,
            xnack=head.xnack == "on",
            behaviour=behaviour or head.behaviour,
            payload=head.payload,
            seed=head.seed,
            name="main",
            explorable=explorable or head.order is not None,
        )
    except InputError as error:
        raise Place(scenario.file).refuse("", error) from None


def run(scenario: Scenario, watch: Watch | None = None, *, process: Process | None = None) -> Result:
    """Run a scenario to its end, whatever fails on the way.

    Args:
        scenario: what to run.
        watch: told of each step as soon as it is judged.
        process: a fresh one of ``process_of``; default: as the head says.

    Raises:
        InputError: the machine cannot be set up as the head says, or a step needs more memory than this computer has.
    """
    process = process or process_of(scenario)
    head = scenario.head
    order = None if head.order is None else Following(parse_order(head.order))
    runner = Runner(Session(scenario, process), Result(head.title, process), watch, pick=order)
    try:
        result = runner.run(scenario.steps)
        if order is not None and runner.explorer is not None:
            order.check_finished(runner.explorer)
    except MisfitError as misfit:
        raise Place(scenario.file).refuse("order", misfit.refusal) from None
    except MemoryError:
        at = runner.result.steps[-1]
        refusal = InputError("this computer has too little memory for it", hint="smaller spans, or payload = false")
        raise Place(scenario.file, at.n, at.step.do).refuse("", refusal) from None
    return result


def check_explorable(scenario: Scenario) -> None:
    """Refuse a scenario whose orders cannot be explored.

    Raises:
        InputError: nothing in it goes on in the background, or time should pass while something does.
    """
    exploring = some = False
    for n, step in enumerate(scenario.steps, start=1):
        lasting = step.time if isinstance(step, Run) else None
        if exploring and (step.after or lasting):
            refusal = InputError("time that passes", allowed="no time, while the order is explored")
            raise Place(scenario.file, n, step.do).refuse("after" if step.after else "for", refusal)
        if scenario.applies(step):
            exploring = not step.wait or (exploring and not isinstance(step, Run))
            some = some or exploring
    if not some:
        refusal = InputError("no step goes on in the background", allowed="wait = false on the steps of the race")
        raise Place(scenario.file).refuse("", refusal)


class Runner:
    """A run in progress: the steps judged so far and those that still go on.

    From the first step with ``wait = false`` up to the moment when nothing is left to do, ``pick`` chooses who goes on.

    Args:
        session: what is run.
        result: what becomes of it.
        watch: told of each step when it is judged.
        pick: chooses the order of what goes on at the same time; None: the clock does.
    """

    def __init__(
        self, session: Session, result: Result, watch: Watch | None = None, *, pick: Pick | None = None
    ) -> None:
        self.session, self.result, self.watch = session, result, watch or (lambda _: None)
        self.pending: list[tuple[StepResult, Begun]] = []
        self.explorer = None if pick is None else Explorer(session.main.driver.world, pick)

    def run(self, steps: Sequence[AnyStep]) -> Result:
        """Do all steps, and what the end of the file does."""
        for step in steps:
            self.step(step)
            if self.explorer is not None and self.explorer.endless:
                break
        return self.finish()

    def step(self, step: AnyStep) -> None:
        """Do one step: let the time before it pass, begin it, wait for it, judge it."""
        outcome = StepResult(len(self.result.steps) + 1, step)
        self.result.steps.append(outcome)
        if not self.session.scenario.applies(step):
            outcome.skipped = True
            self.watch(outcome)
            return
        if step.after:
            self.session.main.advance(step.after)
            self.judge_finished()
        outcome.started_ns = self.session.now
        if self.explorer is not None and not step.wait:
            self.explorer.begin()
        self.begin(outcome)
        self.judge_finished()
        self.end_exploring()

    def end_exploring(self) -> None:
        """Give the clock back once nothing is left to do."""
        if self.explorer is not None and self.explorer.idle:
            self.explorer.end()

    def begin(self, outcome: StepResult) -> None:
        """Begin a step, and wait for its end unless the file says otherwise."""
        step = outcome.step
        try:
            begun = ACTIONS[step.do](self.session, self.session.actor(step.process), step)
        except MissingNameError as missing:
            self.fail(outcome, str(missing), "there is none: the step that makes it failed or is not done yet")
            self.end(outcome)
        except SvmError as error:
            self.judge(outcome, OVER, error)
        else:
            if begun.handle is None:
                self.judge(outcome, begun, None)
            elif step.wait:
                self.judge(outcome, begun, self.wait(begun.handle, step.limit))
            else:
                self.pending.append((outcome, begun))

    def wait(self, handle: Handle, limit_ns: int) -> SvmError | None:
        """Let time pass until a call returns; tells the error it ends with."""
        try:
            self.session.main.wait(handle, limit_ns)
        except SvmError as error:
            return error
        return None

    def judge_finished(self) -> None:
        """Judge the steps in the background that have ended."""
        still: list[tuple[StepResult, Begun]] = []
        for outcome, begun in self.pending:
            if begun.handle is not None and begun.handle.done:
                self.judge(outcome, begun, begun.handle.error)
            else:
                still.append((outcome, begun))
        self.pending = still

    def judge(self, outcome: StepResult, begun: Begun, error: SvmError | None) -> None:
        """Compare how a step ended with what the file says."""
        expected = outcome.step.expected_error
        allowed = [expected or "success", *outcome.step.may_fail]
        if error is not None:
            outcome.error = error.name
            outcome.message = str(error)
        if error is None and expected is not None:
            self.fail(outcome, expected, "success")
        elif error is not None and not any(same_error(one, error.name) for one in allowed):
            self.fail(outcome, " or ".join(allowed), _told(error))
        for wanted, found in begun.found:
            self.fail(outcome, wanted, found)
        if begun.judge is not None and (error is None or begun.after_error):
            result = begun.handle.result() if begun.handle is not None and error is None else None
            for wanted, found in begun.judge(result) or ():
                self.fail(outcome, wanted, found)
        self.end(outcome, begun)

    def fail(self, outcome: StepResult, expected: str, found: str) -> None:
        """Note that something did not hold."""
        outcome.ok = False
        self.result.failures.append(Failure(outcome.n, expected, found))

    def end(self, outcome: StepResult, begun: Begun = OVER) -> None:
        """Note when a step ended, and tell."""
        handle = begun.handle
        ended = handle.ended_ns if handle is not None and handle.done else None
        outcome.ended_ns = self.session.now if ended is None else ended
        self.watch(outcome)

    def finish(self) -> Result:
        """The end of the file: a run, and the end of whatever still goes on."""
        limit_ns = max([SEC, *(outcome.step.limit for outcome, _ in self.pending)])
        timeout: SvmTimeoutError | None = None
        try:
            self.session.main.run(limit_ns=limit_ns)
        except SvmTimeoutError as error:
            timeout = error
        self.judge_finished()
        self.end_exploring()
        for outcome, begun in self.pending:
            self.judge(outcome, begun, SvmTimeoutError("it did not end before the file did"))
        if timeout is not None and not self.timeout_was_expected():
            self.result.failures.append(
                Failure(len(self.result.steps) + 1, "idle at the end of the file", _told(timeout))
            )
        result = self.result
        result.failures.sort(key=lambda failure: failure.n)
        result.time_ns = self.session.now
        result.events = all_counts(self.session.main.log)
        return result

    def timeout_was_expected(self) -> bool:
        """Whether a step ended with the TIMEOUT it asked for: what it met goes on at the end of the file."""
        return any(outcome.error == outcome.step.expected_error == "TIMEOUT" for outcome in self.result.steps)


def _told(error: SvmError) -> str:
    text = str(error)
    return text if text.startswith(error.name) else f"{error.name}: {text}"
