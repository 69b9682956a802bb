"""The queues of a process with xnack off: three states, what leads from one to the next, and what is done then.

The mechanism in ``eviction`` enters states by this table alone; documents and tests print the same table.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["TRANSITIONS", "Input", "Output", "QueueState", "Transition", "transition_table"]


class QueueState(Enum):
    """Where the restore of a process stands."""

    RUN = "running"
    EVICTED = "evicted"
    RESTORE = "restoring"


class Input(Enum):
    """What can happen."""

    INVALIDATION = "a range is invalidated"
    TIMER = "the restore worker's time has come"
    RESTORED = "every range is restored, both counters unchanged"
    NOT_RESTORED = "an error, or a counter changed"


class Output(Enum):
    """What is done on the way into a state, beside counting."""

    QUIESCE = "stop the queues"
    SCHEDULE = "restore worker in 1 ms"
    RESUME = "resume the queues"
    TELL = "say for each GPU: rescheduled"


@dataclass(frozen=True, slots=True)
class Transition:
    """One row of the table.

    Attributes:
        state: the next state.
        outputs: what is done, in order; none: counters only.
    """

    state: QueueState
    outputs: tuple[Output, ...] = ()


TRANSITIONS: dict[tuple[QueueState, Input], Transition] = {
    (QueueState.RUN, Input.INVALIDATION): Transition(QueueState.EVICTED, (Output.QUIESCE, Output.SCHEDULE)),
    (QueueState.RUN, Input.TIMER): Transition(QueueState.RUN),
    (QueueState.EVICTED, Input.INVALIDATION): Transition(QueueState.EVICTED),
    (QueueState.EVICTED, Input.TIMER): Transition(QueueState.RESTORE),
    (QueueState.RESTORE, Input.INVALIDATION): Transition(QueueState.RESTORE),
    (QueueState.RESTORE, Input.RESTORED): Transition(QueueState.RUN, (Output.RESUME,)),
    (QueueState.RESTORE, Input.NOT_RESTORED): Transition(QueueState.EVICTED, (Output.TELL, Output.SCHEDULE)),
}
"""Every pair that can occur. A process is in RUN exactly while its ``evicted_ranges`` is 0."""


def transition_table() -> str:
    """The table as Markdown.

    >>> print(transition_table().splitlines()[2])
    | RUN | a range is invalidated | EVICTED | stop the queues, restore worker in 1 ms |
    """
    rows = [
        f"| {state.name} | {given.value} | {to.state.name} | {', '.join(each.value for each in to.outputs) or '-'} |"
        for (state, given), to in TRANSITIONS.items()
    ]
    return "\n".join(("| state | input | next | output |", "|---|---|---|---|", *rows))
