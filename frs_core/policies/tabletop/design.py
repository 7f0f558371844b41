"""The tabletop generalist: its cameras, the objects it locates, the size of its actions."""

from frs_core.policies.generalist.design import Design
from frs_core.policies.tabletop.language import CONCEPTS, VOCABULARY
from frs_core.worlds.tabletop.tasks import TRAINED

DESIGN = Design(
    name="tabletop",
    cameras=("left", "wrist"),
    on_tool="wrist",
    concepts=CONCEPTS,
    vocabulary=VOCABULARY,
    translation=0.018,
    rotation=0.08,
    control_hz=15.0,
    shown=TRAINED,
)
