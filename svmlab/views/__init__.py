"""Views: a maker turns state or a log into a scene (plain data); renderers draw or tell any scene.

Importing this loads numpy only; ``show`` and ``save`` load matplotlib when a figure is wanted.
"""

from svmlab.views.catalogue import VIEWS, view
from svmlab.views.combinations import Combination, combinations
from svmlab.views.compare import two_runs
from svmlab.views.counters import counters
from svmlab.views.decision import decision_path
from svmlab.views.describe import alt_text, describe, table
from svmlab.views.draw_svg import svg
from svmlab.views.output import save, show
from svmlab.views.pagemap import pagemap, pagemap_of, pages_of_runs
from svmlab.views.pagemap_time import pagemap_over_time
from svmlab.views.policy_table import policy_table
from svmlab.views.range_strip import range_strip
from svmlab.views.scene import Axis, Bar, Cell, Chart, Diagram, Lane, Mark, Row, Scene, Table, stack
from svmlab.views.snapshot import Snapshot, snapshot
from svmlab.views.source import Source
from svmlab.views.steps import steps
from svmlab.views.timeline import timeline
from svmlab.views.topology import topology
from svmlab.views.translation import translation
from svmlab.views.vram_map import vram_map
from svmlab.views.vram_state import VramState, vram_state

__all__ = [
    "VIEWS",
    "Axis",
    "Bar",
    "Cell",
    "Combination",
    "Chart",
    "Diagram",
    "Lane",
    "Mark",
    "Row",
    "Scene",
    "Snapshot",
    "Source",
    "Table",
    "VramState",
    "alt_text",
    "combinations",
    "counters",
    "decision_path",
    "describe",
    "pagemap",
    "pagemap_of",
    "pagemap_over_time",
    "pages_of_runs",
    "policy_table",
    "range_strip",
    "save",
    "show",
    "snapshot",
    "stack",
    "steps",
    "svg",
    "table",
    "timeline",
    "topology",
    "vram_map",
    "vram_state",
    "translation",
    "two_runs",
    "view",
]
