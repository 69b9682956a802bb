"""Which orders there are: every one with at most so many preemptions, one after the other, or some drawn by chance.

An order is the list of picks made where more than one task could go on. Searching needs no picture of the machine: an
order is run from the start, and the next one differs from it in the last pick that has an alternative left. So what is
kept is one list of picks, however many orders there are.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from svmlab.hardware.exploring import Explorer, Turn
from svmlab.scenario.orders import usual

__all__ = ["Choice", "Drawing", "Picks", "next_prefix", "part_done"]


@dataclass(frozen=True, slots=True)
class Choice:
    """A pick among more than one.

    Attributes:
        options: how many tasks could go on.
        first: which of them goes on if nobody decides otherwise.
        picked: which of them did.
        costs: whether each other than ``first`` is a preemption.
    """

    options: int
    first: int
    picked: int
    costs: bool

    @property
    def preempted(self) -> bool:
        """Whether it was a preemption."""
        return self.costs and self.picked != self.first

    def following(self) -> int | None:
        """The option to be tried next: ``first``, then the others in order; None after the last one."""
        later = 0 if self.picked == self.first else self.picked + 1
        return next((option for option in range(later, self.options) if option != self.first), None)


class Picks:
    """Picks turns as a list says, behind its end what comes first; and keeps what it picked.

    Args:
        picked: the list.

    Attributes:
        choices: the picks among more than one, so far.
    """

    def __init__(self, picked: Sequence[int] = ()) -> None:
        self.picked = picked
        self.choices: list[Choice] = []

    def __call__(self, explorer: Explorer, turns: Sequence[Turn]) -> Turn:
        """Who goes on."""
        first = turns.index(usual(explorer, turns))
        if len(turns) == 1 or any(explorer.repeats(turn) for turn in turns):
            return turns[first]  # orders that differ only in how often somebody tries in vain are one
        offer = Choice(len(turns), first, first, explorer.preempts(turns))
        self.choices.append(replace(offer, picked=self.choose(offer)))
        return turns[self.choices[-1].picked]

    def choose(self, offer: Choice) -> int:
        """Which option is taken; ``offer`` takes the first."""
        at = len(self.choices)
        return self.picked[at] if at < len(self.picked) else offer.first

    @property
    def preemptions(self) -> int:
        """How many preemptions it picked."""
        return sum(choice.preempted for choice in self.choices)


def next_prefix(choices: Sequence[Choice], bound: int) -> tuple[int, ...] | None:
    """The picks that lead to the order after this one; None if it was the last with at most ``bound`` preemptions.

    >>> a_preemption = Choice(options=2, first=0, picked=0, costs=True)
    >>> next_prefix([a_preemption, a_preemption], bound=1), next_prefix([a_preemption], bound=0)
    ((0, 1), None)
    """
    spent = sum(choice.preempted for choice in choices)
    for at in reversed(range(len(choices))):
        choice = choices[at]
        spent -= choice.preempted
        option = choice.following()
        if option is not None and spent + choice.costs <= bound:
            return (*(earlier.picked for earlier in choices[:at]), option)
    return None


def part_done(choices: Sequence[Choice]) -> float:
    """How far the search has come, 0 to 1, if every branch were as large as its neighbours.

    >>> part_done([Choice(2, 0, 0, True), Choice(2, 0, 1, True)])
    0.5
    """
    done, part = 0.0, 1.0
    for choice in choices:
        before = 0 if choice.picked == choice.first else choice.picked + (choice.picked < choice.first)
        part /= choice.options
        done += before * part
    return done + part


class Drawing(Picks):
    """Picks by chance.

    Args:
        chance: where chance comes from.
        preemptions: how often it preempts, at most.
        places: at how many places it could, about.
    """

    def __init__(self, chance: random.Random, preemptions: int, places: int) -> None:
        super().__init__()
        self.chance, self.left = chance, preemptions
        self.rate = preemptions / max(1, places)

    def choose(self, offer: Choice) -> int:
        """By chance; a preemption only while some are left."""
        if not offer.costs:
            return self.chance.randrange(offer.options)
        if not self.left or self.chance.random() > self.rate:
            return offer.first
        self.left -= 1
        return self.chance.choice([option for option in range(offer.options) if option != offer.first])
