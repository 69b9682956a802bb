"""``svmlab behaviours``: where versions of the driver differ."""

from __future__ import annotations

from pathlib import Path

import click

from svmlab.cli.complete import preset_names

__all__ = ["behaviours"]


@click.command()
@click.option(
    "--diff", nargs=2, metavar="A B", shell_complete=preset_names, help="Only what two presets choose differently."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@click.option("--into", type=click.Path(path_type=Path), metavar="FILE.md", help="Renew their part of a document.")
def behaviours(*, diff: tuple[str, str] | None, as_json: bool, into: Path | None) -> None:
    """List the decision points at which versions of the driver differ, and what each preset chooses."""
    import json

    from svmlab.hardware.describe import table
    from svmlab.svm import catalogue
    from svmlab.svm.behaviour_table import PRESETS, SLOTS

    if diff:
        found = catalogue.differing(*diff)
        click.echo(table([("slot", *diff), *((slot.name, a, b) for slot, a, b in found)]))
    elif into:
        into.write_text(catalogue.put_into(into.read_text(encoding="utf-8")), encoding="utf-8")
    elif as_json:
        click.echo(json.dumps(catalogue.as_rows(), indent=2))
    else:
        click.echo(table([("slot", *PRESETS), *((slot.name, *slot.presets) for slot in SLOTS.values())]))
