"""Make the shipped generalist: demonstrations, training, corrections.

Importing it imports the world's package first, which chooses MuJoCo's renderer before any module imports MuJoCo.
"""

import frs_core.worlds.tabletop as _world  # noqa: F401  # pyright: ignore[reportUnusedImport]  for its effect
