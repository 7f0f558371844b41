"""Copy the statistics of a checkpoint, `assets`, into the folder that is made of it. Runs in the terminal.

Problem: a link in a folder from elsewhere leads to any folder of this machine. Idea: folders are walked and never followed; a link to a file is
taken for the statistics alone, since a download of huggingface_hub is a folder of such links.
"""

import os
import shutil
from pathlib import Path

from frs_core.errors import ConfigError
from frs_core.runtime.foreign import DOCUMENT, in_line, plain_file, said

_STATISTICS = "norm_stats.json"


def copy_assets(source: Path, target: Path) -> None:
    """Copy `assets` of one checkpoint folder into another; nothing where there are none.

    Raises:
        ConfigError: something in it is a link that is not followed, or no file that can be read.
        OSError: the target cannot be written.
    """
    root = source / "assets"
    if not root.is_dir():
        return
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        if linked := [name for name in folders if (here / name).is_symlink()]:
            raise ConfigError(
                f"'{in_line(here / linked[0])}' is a link to a folder, which is not followed. Put what it leads to in its place, or remove it."
            )
        for name in sorted(files):
            path = here / name
            try:
                plain_file(path, limit=DOCUMENT, may_link=name == _STATISTICS)
            except OSError as error:
                raise ConfigError(
                    f"'{in_line(path)}' cannot be copied ({said(error)}). Download it again, or remove it."
                ) from error
            there = target / "assets" / path.relative_to(root)
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, there)
