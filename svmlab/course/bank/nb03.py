"""Notebook 03, where should it live."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import product
from typing import Any, NamedTuple

from svmlab.course.exercise import Exercise, Kind, Miss, Prediction, Question
from svmlab.course.kinds import function, one_number
from svmlab.errors import InputError, SvmError
from svmlab.hardware.machine import Machine
from svmlab.svm.behaviour import Behaviour
from svmlab.svm.buffer_view import Buffer
from svmlab.svm.decision import Decision, Situation, gpus_of
from svmlab.svm.process import Process
from svmlab.uapi import SYSMEM, UNDEFINED

__all__ = ["EXERCISES", "PREDICTIONS"]

MACHINES = ("pcie-pair", "mi100-hive4", "mi210-two-hives", "mi250x-node", "mi300x-8")


_machine = cache(Machine.find)


def _buffer(machine: str = "mi210-two-hives", *, xnack: bool = False) -> tuple[Process, Buffer]:
    """A process with a buffer of 4 pages in RAM."""
    p = Process(machine, xnack=xnack)
    return p, p.mmap("16 KiB", name="a", populate=True)


def _place(p: Process, a: Buffer) -> str:
    """Where the pages of a buffer are, all of them."""
    p.run()
    (location,) = set(p.look.locations(a.span).tolist())
    return "RAM" if location == SYSMEM else f"VRAM of {p.machine.location_name(location)}"


def _after(*calls: Mapping[str, Any]) -> str:
    p, a = _buffer()
    for call in calls:
        p.set_attr(a, **call)
        p.run()
    return _place(p, a)


def _four_runs() -> dict[str, str]:
    """Ask for gpu0 in four ways; look where the pages are in the end."""
    return {
        "one_hive": _after({"access": ["gpu0", "gpu1"], "prefetch": "gpu0"}),
        "two_hives": _after({"access": ["gpu0", "gpu4"], "prefetch": "gpu0"}),
        "second_call": _after({"access": ["gpu0"], "prefetch": "gpu0"}, {"access": ["gpu4"]}),
        "preferred": _after({"access": ["gpu0"], "preferred": "gpu0"}),
    }


PREDICTIONS = (
    Prediction(
        "03.p1",
        (
            Question(
                "one_hive",
                "gpu0 and gpu1 have access, and the buffer is prefetched to gpu0. Where is it?",
                ("VRAM of gpu0", "RAM"),
                "every GPU with access is gpu0 or in its hive, so all of them reach its VRAM",
            ),
            Question(
                "two_hives",
                "gpu0 and gpu4 have access, and the buffer is prefetched to gpu0. Where is it?",
                ("VRAM of gpu0", "RAM", "the call fails"),
                "gpu4 is in the other hive and cannot reach gpu0's VRAM: RAM serves both, and no error says so",
            ),
            Question(
                "second_call",
                "The buffer is in VRAM of gpu0. A second call gives gpu4 access. Where is it?",
                ("VRAM of gpu0", "RAM"),
                "the rules are asked again in each call, with the prefetch location that the range remembers",
            ),
            Question(
                "preferred",
                "gpu0 has access, and is the preferred location. Where is it?",
                ("VRAM of gpu0", "RAM"),
                "no rule of the best location looks at the preferred location",
            ),
        ),
        _four_runs,
    ),
)


class _Setting(NamedTuple):
    """A row of exercise 03.1."""

    letter: str
    machine: str
    xnack: bool
    call: Mapping[str, Any]

    def decision(self) -> Decision:
        p, a = _buffer(self.machine, xnack=self.xnack)
        p.set_attr(a, **self.call)
        return p.why(a).decision


_ALL = [f"gpu{gpu}" for gpu in range(8)]
_SETTINGS = (
    _Setting("A", "mi300x-8", False, {"access": _ALL, "prefetch": "gpu5"}),
    _Setting("B", "mi210-two-hives", False, {"access": ["gpu2", "gpu5"], "prefetch": "gpu2"}),
    _Setting("C", "pcie-pair", False, {"access": ["gpu0"], "prefetch": "gpu0"}),
    _Setting("D", "mi210-two-hives", True, {"access_in_place": ["gpu4"], "prefetch": "gpu0"}),
    _Setting("E", "mi250x-node", False, {"access": ["gpu0"], "preferred": "gpu0"}),
    _Setting("F", "mi210-two-hives", True, {"access": ["gpu0"], "preferred": "gpu0"}),
    _Setting("G", "mi210-two-hives", False, {"access": ["gpu0", "gpu4"], "prefetch": "cpu"}),
    _Setting("H", "mi210-two-hives", False, {"prefetch": "gpu4"}),
)


def _which_rules(answer: Any) -> Iterator[Miss | None]:
    parts = answer if isinstance(answer, list | tuple) else [answer]
    digits = "".join(character for part in parts for character in str(part) if character.isalnum())
    for at, setting in enumerate(_SETTINGS):
        yield _which_rule(setting, digits[at : at + 1])
    if digits[len(_SETTINGS) :]:
        yield Miss("after H", digits[len(_SETTINGS) :], "nothing", "there are 8 settings, and one number for each")


def _which_rule(setting: _Setting, digit: str) -> Miss | None:
    given, found = f"setting {setting.letter}, on {setting.machine}", setting.decision()
    rules = [*(passed.rule for passed in found.considered), found.rule, *found.rest]
    right = len(found.considered) + 1
    if not digit.isdecimal() or not 1 <= int(digit) <= len(rules):
        return Miss(given, digit or "nothing", f"a number from 1 to {len(rules)}", "each number is a rule")
    mine = int(digit)
    if mine == right:
        return None
    why = (
        f"rule {mine} does not fire: {found.considered[mine - 1].because}"
        if mine < right
        else f"rule {mine} is not asked: an earlier rule fires"
    )
    return Miss(given, f"rule {mine}, {rules[mine - 1]}", "another rule", why)


_FORM = '{"machine": "...", "access": ["gpu...", ...]}'
_GPUS = ("access", "access_in_place")
_FEWER = "take one GPU away and look again: as long as the pages still end in RAM, it was one too many"


def _ends_in_ram(answer: Any) -> Iterator[Miss | None]:
    if not isinstance(answer, Mapping):
        yield Miss("your answer", repr(answer), _FORM, "a setting is a dict, as in the text")
        return
    try:
        yield _smallest(dict(answer))
    except SvmError as error:
        rule = "a setting is a machine, and the GPUs that get access on it"
        yield Miss(repr(answer), error.given, error.allowed or "a call that succeeds", rule)


def _smallest(setting: dict[str, Any]) -> Miss | None:
    machine, given = setting.pop("machine", None), repr(setting)
    if machine not in MACHINES:
        raise InputError(f"the machine {machine!r}", allowed=", ".join(map(repr, MACHINES)))
    if setting.keys() - set(_GPUS):
        other = ", ".join(map(repr, sorted(setting.keys() - set(_GPUS))))
        raise InputError(f"a setting with {other}", allowed="machine, " + ", ".join(_GPUS))
    p, a = _buffer(machine)
    p.set_attr(a, **setting, prefetch="gpu0")
    place, (reason,) = _place(p, a), p.why(a).reasons
    users = gpus_of(reason.situation.access | reason.situation.in_place)
    said = f"{machine}, {given}, and a prefetch to gpu0"
    if place != "RAM":
        return Miss(said, f"the pages are in {place}", "all pages in RAM", reason.decision.because)
    return Miss(said, f"RAM, with {len(users)} GPUs", "RAM, with fewer GPUs", _FEWER) if len(users) > 1 else None


class _Case(NamedTuple):
    """One row of the truth table; ``users`` is a bit set."""

    machine: str
    xnack: bool
    prefetch: str | None
    users: int

    def __str__(self) -> str:
        xnack, prefetch, users, hives = self.arguments()
        return f"{self.machine}: xnack={xnack}, prefetch={prefetch!r}, users={_set(users)}, hives=[{_sets(hives)}]"

    def arguments(self) -> tuple[bool, str | None, set[str], list[set[str]]]:
        """What the function of the exercise gets."""
        hives = [_names(members) for members in _machine(self.machine).hives.values()]
        return self.xnack, self.prefetch, _names(gpus_of(self.users)), hives

    def decision(self) -> Decision:
        """What the driver's own policy says; every second GPU has access in place, which makes no difference."""
        machine, in_place = _machine(self.machine), self.users & 0b10101010
        prefetch = UNDEFINED if self.prefetch is None else machine.location(self.prefetch)
        access = self.users & ~in_place
        found: Decision = Behaviour().location_policy(
            Situation(machine, self.xnack, prefetch, access=access, in_place=in_place)
        )
        return found


def _names(gpus: Iterable[int]) -> set[str]:
    return {f"gpu{gpu}" for gpu in gpus}


def _set(names: set[str]) -> str:
    return "{" + ", ".join(map(repr, sorted(names))) + "}" if names else "set()"


def _sets(hives: list[set[str]]) -> str:
    return ", ".join(map(_set, hives))


def _truth_table() -> Iterator[_Case]:
    """Every xnack mode, prefetch location and set of users: of all GPUs where hives matter, of three elsewhere."""
    for name in MACHINES:
        machine = _machine(name)
        count = 3 if len(machine.hives) == 1 else len(machine.gpus)
        modes = (False, True) if machine.gpus[0].xnack_capable else (False,)
        places = (None, "cpu", *(f"gpu{gpu}" for gpu in range(count)))
        for users, xnack, prefetch in product(sorted(range(1 << count), key=int.bit_count), modes, places):
            yield _Case(name, xnack, prefetch, users)


def _ask(answer: Any, case: _Case) -> Any:
    return answer(*case.arguments())


def _best(case: _Case) -> str | None:
    location = case.decision().location
    return None if location in (None, UNDEFINED) else _machine(case.machine).location_name(location or SYSMEM)


def _because(case: _Case) -> str:
    found = case.decision()
    return f"{found.rule}: {found.because}"


EXERCISES = (
    Exercise(
        "03.w1",
        Kind.WARM_UP,
        "How many pages move when a neighbour in the hive reads?",
        one_number(0, of="pages that move", rule="within a hive a GPU reads VRAM of another one where it is"),
    ),
    Exercise(
        "03.w2",
        Kind.WARM_UP,
        "How many ranges are there when a call names the middle of one?",
        one_number(3, of="ranges in the end", rule="the range is split: what is before, the middle, the rest"),
    ),
    Exercise(
        "03.1",
        Kind.COMPLETE,
        "Tell which rule fires in each of eight settings.",
        _which_rules,
        (
            "Look at the last table of the picture in *All combinations*: it has the rules in their order.",
            "Ask the rules from the first on, and stop at the first that fires. No rule asks what is preferred.",
            "5 4 5 _ _ 1 _ _",
        ),
    ),
    Exercise(
        "03.2",
        Kind.COUNTER_EXAMPLE,
        "Find the smallest setting in which a prefetch to gpu0 ends in RAM.",
        _ends_in_ram,
        (
            "Look at the rows of the truth table with RAM (4) below 'prefetch gpu0'. Which has the fewest 'yes'?",
            "Rule 4 asks for a GPU far from gpu0. It does not ask how many there are, nor whether gpu0 has access.",
            '{"machine": "pcie-pair", "access": [____]}',
        ),
    ),
    Exercise(
        "03.3",
        Kind.WRITE,
        "Write the rules of the best location.",
        function(_truth_table(), _best, rule=_because, call=_ask),
        (
            "Look at the case that the check tells: which rule does it name, and which of your lines is about it?",
            "Three of the five rules give the prefetch location as it is. Then it is about sets: who reaches its VRAM?",
            "near = the GPU itself and its hive, if it is in one; return prefetch if users <= ____ else ____",
        ),
    ),
)
