"""Widgets: thin controllers over the views; importing this loads ipywidgets, which nothing below does."""

from svmlab.widgets.address_explorer import AddressExplorer
from svmlab.widgets.defect_lab import DefectLab
from svmlab.widgets.early_or_late import EarlyOrLate
from svmlab.widgets.fault_stepper import FaultStepper
from svmlab.widgets.hive_explorer import HiveExplorer
from svmlab.widgets.hurdle_stepper import HurdleStepper
from svmlab.widgets.late_report import LateReport
from svmlab.widgets.location_lab import LocationLab
from svmlab.widgets.ping_pong import PingPong
from svmlab.widgets.pressure_sweep import PressureSweep
from svmlab.widgets.range_editor import RangeEditor
from svmlab.widgets.restore_race import RestoreRace
from svmlab.widgets.run_compare import RunCompare
from svmlab.widgets.stepper import MigrationStepper
from svmlab.widgets.trace_viewer import TraceViewer

__all__ = [
    "AddressExplorer",
    "DefectLab",
    "EarlyOrLate",
    "FaultStepper",
    "HiveExplorer",
    "HurdleStepper",
    "LateReport",
    "LocationLab",
    "MigrationStepper",
    "PingPong",
    "PressureSweep",
    "RangeEditor",
    "RestoreRace",
    "RunCompare",
    "TraceViewer",
]
