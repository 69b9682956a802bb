"""``svmlab peers``: what the tests of other projects say about shared virtual memory, run on the model."""

from __future__ import annotations

import sys
from typing import Any

import click

__all__ = ["peers"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def peers(*, as_json: bool) -> None:
    """Run the scenarios after the tests of kfdtest, the kernel's HMM selftests and HIP, each in every mode it names.

    "asserted" counts the steps that expect what the original asserts, "derived" those that expect what follows from the
    driver's rules (data/scenarios/peers/RULES.md).

    Exit code 0: all hold; 1: some do not.
    """
    import json

    from svmlab.scenario.peers import left_out
    from svmlab.scenario.peers import peers as every

    found = list(every())
    with click.progressbar(found, label="peers", file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
        rows = [(peer, peer.run()) for peer in bar]
    if as_json:
        click.echo(json.dumps({"scenarios": [_as_dict(*row) for row in rows], "left_out": left_out()}, indent=2))
    else:
        click.echo(_as_text(rows, left_out()))
    if any(failures for _, failures in rows):
        click.get_current_context().exit(1)


def _as_dict(peer: Any, failures: list[str]) -> dict[str, Any]:
    return {
        "scenario": peer.title,
        "modes": {key: list(values) for key, values in peer.sweep.lists.items()},
        "asserted": peer.asserted,
        "derived": peer.derived,
        "failures": failures,
    }


def _as_text(rows: list[tuple[Any, list[str]]], left_out: dict[str, str]) -> str:
    from svmlab.hardware.describe import table

    lines = [("scenario", "asserted", "derived", "result", "in each mode of")]
    for peer, failures in rows:
        result = f"{len(failures)} of {len(peer.sweep)} fail" if failures else "passes"
        lines.append((peer.title, str(peer.asserted), str(peer.derived), result, peer.modes))
    failed = [one for _, failures in rows for one in failures]
    passed = sum(not failures for _, failures in rows)
    reasons = [f"left out: {name}: {reason}" for name, reason in left_out.items()]
    count = f"{passed} pass, {len(rows) - passed} fail; {len(left_out)} of the originals are left out"
    return "\n".join([table(lines), *failed, *reasons, count])
