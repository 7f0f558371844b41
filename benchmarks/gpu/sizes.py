"""The sizes that the parts on pi0.5 measure: the released network's, or a tiny one for a try."""

from frs_core.making.pi05.speed import sizes
from frs_core.policies.pi05.sizes import GemmaSize, ModelSize, VisionSize

CAMERAS, WORDS = 2, 60
BATCH, HORIZON = 8, 15
"""The fan that the product promises a time for: eight directions."""

TINY = ModelSize(
    vision=VisionSize(width=64, depth=1, mlp=96, image=28, patch=14),
    text=GemmaSize(width=64, depth=1, mlp=96, heads=8, head_dim=16),
    expert=GemmaSize(width=64, depth=1, mlp=96, heads=8, head_dim=16),
    vocabulary=64,
    width=32,
)


def size_for(*, is_small: bool, depth: int | None = None) -> ModelSize:
    """Return the network's size.

    Args:
        is_small: the tiny one.
        depth: layers of the full-size one; None = all.
    """
    return TINY if is_small else sizes(depth=depth)
