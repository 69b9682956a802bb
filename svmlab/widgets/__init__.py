"""Widgets: thin controllers over the views; importing this loads ipywidgets, which nothing below does."""

from svmlab.widgets.stepper import MigrationStepper

__all__ = ["MigrationStepper"]
