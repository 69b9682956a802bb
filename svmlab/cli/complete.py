"""What a shell may complete: names of machines, presets and views; where a path is meant too, files."""

from __future__ import annotations

from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem

__all__ = ["machine_names", "preset_names", "view_names"]


def _matching(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def machine_names(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Machines that are shipped; files where none begins like this."""
    from svmlab.hardware.finder import preset_names as shipped

    return _matching(shipped(), incomplete) or [CompletionItem(incomplete, type="file")]


def preset_names(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Presets of the driver's behaviour."""
    from svmlab.svm.behaviour_table import PRESETS

    return _matching(PRESETS, incomplete)


def view_names(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Views of a run."""
    from svmlab.views import VIEWS

    return _matching(VIEWS, incomplete)
