"""Where the product's own files are."""

import os
from pathlib import Path

import platformdirs

_PACKAGE = Path(__file__).resolve().parent


def assets() -> Path:
    """Return the folder of shipped weights, meshes and icons (in a checkout or an installed wheel)."""
    installed = _PACKAGE / "_assets"
    return installed if installed.is_dir() else _PACKAGE.parent / "assets"


def data() -> Path:
    """Return the default recording root: FRS_DATA_DIR, else `data/` of a checkout, else `frs-data/` in the working folder
    where it is there already, else `frs-cockpit/` in the user's data folder."""
    if chosen := os.environ.get("FRS_DATA_DIR"):
        return Path(os.path.expanduser(chosen))
    checkout = _PACKAGE.parent
    # Beside an installed package other packages put folders of any name.
    if (checkout / "data").is_dir() and (checkout / "pyproject.toml").is_file():
        return checkout / "data"
    here = Path.cwd() / "frs-data"
    return here if here.is_dir() else Path(platformdirs.user_data_dir("frs-cockpit", appauthor=False))
