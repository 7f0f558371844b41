"""The LIBERO generalist: its cameras, the objects it locates, the size of its actions."""

from frs_core.policies.generalist.design import Design
from frs_core.policies.libero.language import CONCEPTS, SHOWN, VOCABULARY

DESIGN = Design(
    name="libero",
    cameras=("agentview", "wrist"),
    on_tool="wrist",
    concepts=CONCEPTS,
    vocabulary=VOCABULARY,
    # LIBERO's controller takes no more; the demonstrator commands half of its largest turn.
    translation=0.05,
    rotation=0.25,
    control_hz=20.0,
    shown=SHOWN,
    # What LIBERO's controller makes of a steady command, docs/libero.md.
    reach=0.26,
    is_mirrored=True,
    has_fixed_cameras=False,
    height_noise=0.06,
)
