"""Where the product's own files are."""

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def assets() -> Path:
    """Return the folder of shipped weights, meshes and icons (in a checkout or an installed wheel)."""
    checkout = _PACKAGE.parent / "assets"
    return checkout if checkout.is_dir() else _PACKAGE / "_assets"


def data() -> Path:
    """Return the default recording root: FRS_DATA_DIR, else `data/` of a checkout, else `frs-data/` in the working folder."""
    if chosen := os.environ.get("FRS_DATA_DIR"):
        return Path(chosen)
    checkout = _PACKAGE.parent / "data"
    return checkout if checkout.is_dir() else Path.cwd() / "frs-data"
