"""``svmlab race``: every order of a race, and what each leads to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from svmlab.cli.complete import preset_names
from svmlab.cli.output import check_output
from svmlab.errors import InputError

if TYPE_CHECKING:
    from svmlab.scenario.format import Scenario
    from svmlab.scenario.races import Races

__all__ = ["race"]


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--preemptions",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="How often an order may switch away from a task that could go on. Above 3, further orders are drawn.",
)
@click.option("--behaviour", shell_complete=preset_names, help="A preset, over what the file says.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Where orders are drawn from.")
@click.option("--outcome", type=click.IntRange(min=1), help="Which outcome --save means; default: the first.")
@click.option("--save", type=click.Path(path_type=Path), metavar="OUT.toml", help="Write a scenario that replays it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each file instead of text.")
def race(
    files: tuple[Path, ...],
    *,
    preemptions: int,
    behaviour: str | None,
    seed: int,
    outcome: int | None,
    save: Path | None,
    as_json: bool,
) -> None:
    """Run scenarios in every order in which their steps with wait = false can get in each other's way.

    Of several files those that have nothing to explore, or whose steps go by the clock, are named and passed over.

    Exit code 0: nothing is wrong in any order; 1: something is in some; 2: a file cannot be used.
    """
    from svmlab.scenario.format import Overrides
    from svmlab.scenario.races import explore
    from svmlab.scenario.runner import load_scenario

    if len(files) > 1 and (save or outcome):
        raise InputError("--save and --outcome of several scenarios", allowed="one scenario at a time")
    check_output(save, (".toml",))
    scenarios = [load_scenario(path, Overrides(behaviour=behaviour)) for path in files]
    good = True
    for number, scenario in enumerate(_explorable(scenarios)):
        with _progress(scenario.file) as tell:
            races = explore(scenario, preemptions=preemptions, seed=seed, progress=tell)
        _tell(races, as_json=as_json, every=len(files) == 1, first=not number)
        good = good and races.ok
        if save is not None:
            races.save(outcome or 1, save)
            click.echo(f"outcome {outcome or 1} can be replayed: svmlab run {save}", err=as_json)
    if not good:
        click.get_current_context().exit(1)


def _explorable(scenarios: list[Scenario]) -> list[Scenario]:
    """Those that can be explored; of several, the others are told."""
    from svmlab.scenario.runner import check_explorable

    found = []
    for scenario in scenarios:
        try:
            check_explorable(scenario)
        except InputError as error:
            if len(scenarios) == 1:
                raise
            click.echo(f"not explored: {error}", err=True)
        else:
            found.append(scenario)
    return found


def _tell(races: Races, *, as_json: bool, every: bool, first: bool) -> None:
    """The table; the stories of all outcomes, or of those in which something is wrong."""
    import json

    from svmlab.scenario.race_report import as_dict

    if as_json:
        click.echo(json.dumps(as_dict(races)))
        return
    click.echo(str(races) if first else f"\n{races}")
    for number, found in enumerate(races.found, start=1):
        if every or not found.outcome.good:
            click.echo(f"\nOutcome {number} comes about like this:\n{races.story(number)}")


@contextmanager
def _progress(title: str) -> Iterator[Callable[[float, int], None]]:
    """A bar on the terminal; nothing where nobody looks."""
    if not sys.stderr.isatty():
        yield lambda _part, _orders: None
        return
    with click.progressbar(length=1000, label=title, file=sys.stderr) as bar:

        def tell(part: float, orders: int) -> None:
            bar.label = f"{title}: {orders:,} orders"
            bar.update(max(0, int(part * 1000) - bar.pos))

        yield tell
