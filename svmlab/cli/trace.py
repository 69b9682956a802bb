"""``svmlab trace``: what a log of a driver, real or simulated, adds up to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from svmlab.cli.output import PICTURES, check_output

__all__ = ["trace"]

_VIEWS = ("timeline", "pagemap", "counters")


@click.command()
@click.argument("log", type=click.Path(path_type=Path))
@click.option(
    "--replay", "replayed", is_flag=True, help="Rebuild where pages were; exit code 1 if the log contradicts itself."
)
@click.option("--why", type=click.IntRange(min=0), metavar="N", help="The chain of causes of event N (see --events).")
@click.option("--events", is_flag=True, help="List the events with their numbers.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="OUT.png|.svg", help="Draw it.")
@click.option(
    "--view", "view_name", default="timeline", show_default=True, type=click.Choice(_VIEWS), help="What --plot draws."
)
@click.option(
    "--to", type=click.Path(path_type=Path), metavar="OUT", help="Write it in another format (.smi .rocr .json .csv)."
)
@click.option(
    "--against", type=click.Path(path_type=Path), metavar="LOG", help="Hold it against another log, a prediction."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def trace(log: Path, *, replayed: bool, why: int | None, plot: Path | None, as_json: bool, **rest: Any) -> None:
    """Sum up a LOG: the kernel's SMI lines, the runtime's (HSA_SVM_PROFILE), or a trace that svmlab wrote.

    Exit code 0: it was read; 1: with --replay, it contradicts itself; 2: it cannot be used.
    """
    from svmlab.trace.formats import read_trace

    _check(plot, rest["to"])
    found = read_trace(log)
    replay = found.replay() if replayed else None
    if why is not None:
        click.echo(str(found.why(why)))
    elif rest["against"] is not None:
        _tell_both(found, read_trace(rest["against"]))
    elif as_json:
        _tell_json(found, replay)
    else:
        _tell(found, replay, events=rest["events"])
    _write(found, (plot, rest["view_name"]), rest["to"], quiet=as_json)
    if replay and replay.contradictions:
        click.get_current_context().exit(1)


def _check(plot: Path | None, to: Path | None) -> None:
    from svmlab.trace.formats import FORMATS

    check_output(plot, PICTURES)
    check_output(to, tuple(FORMATS))


def _tell(found: Any, replay: Any, *, events: bool) -> None:
    from svmlab.units import format_time
    from svmlab.views import describe, timeline

    click.echo(f"{found.title}: {found.origin}\n{found.summary()}\n\n{describe(timeline(found))}")
    if replay:
        click.echo(f"\n{replay}")
    if events:
        click.echo()
    for event in found.log if events else ():
        click.echo(f"{event.id:>6}  {format_time(event.time_ns):>12}  {event}")


def _tell_both(found: Any, other: Any) -> None:
    from svmlab.trace.beside import beside

    click.echo(beside(found.summary(), other.summary(), (found.title, other.title)))


def _tell_json(found: Any, replay: Any) -> None:
    import json

    made = {"file": found.title, "format": found.origin, **found.summary().as_dict()}
    if replay:
        made["contradictions"] = [{"event": each.event.id, "because": each.because} for each in replay.contradictions]
    click.echo(json.dumps(made, indent=2))


def _write(found: Any, picture: tuple[Path | None, str], to: Path | None, *, quiet: bool) -> None:
    from svmlab.trace.formats import write_trace
    from svmlab.views import save

    plot, name = picture
    if plot is not None:
        save(_scene(found, name), plot)
    if to is not None:
        write_trace(found, to)
    if not quiet:
        for path, what in ((plot, name), (to, "trace")):
            if path is not None:
                click.echo(f"the {what} is in {path}")


def _scene(found: Any, name: str) -> Any:
    from svmlab.views import counters, pagemap_over_time, timeline

    if name == "pagemap":
        return pagemap_over_time(found.replay().moments())
    return {"timeline": timeline, "counters": counters}[name](found)
