"""`frs desktop-install`: the cockpit among the desktop's programs, and the rule that lets a person read input devices.

Example: `frs desktop-install` writes two files below ~/.local/share, and prints the one line that needs root. `--remove` takes them away.
"""

import os
import shutil
import sys
from pathlib import Path

from frs_core import paths
from frs_core.commands.printing import console
from frs_core.doctor.devices import udev_fix
from frs_core.episodes.begun import begun
from frs_core.errors import ConfigError, EpisodeError
from frs_core.runtime.foreign import read_text

NAME = "frs-cockpit"
"""Of both files; the window bears it too, so that desktops match window and entry."""
_ENTRY = """[Desktop Entry]
Type=Application
Name=FRS cockpit
Comment=Steer a robot foundation model with arrow keys
Exec={command}
Icon={icon}
Terminal=false
Categories=Science;Robotics;
StartupWMClass={name}
"""


def desktop_install(*, remove: bool = False) -> int:
    """Add the cockpit to the desktop's application menu (Linux), and show how to grant access to SpaceMice and gamepads. Needs no root.

    Args:
        remove: Remove the entry and its icon.
    """
    if sys.platform != "linux":
        raise ConfigError(f"Desktop entries are for Linux, this is {sys.platform}. Start the cockpit with `frs`.")
    page, share = console(), Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
    entry = share / "applications" / f"{NAME}.desktop"
    icon = share / "icons/hicolor/scalable/apps" / f"{NAME}.svg"
    texts = {
        icon: read_text(paths.assets() / "icons" / f"{NAME}.svg"),
        entry: _ENTRY.format(command=_command(), icon=icon, name=NAME),
    }
    try:
        with begun(share) as files:
            if remove:
                for path in (entry, icon):
                    path.unlink(missing_ok=True)
                    page.print(f"Removed {path}", soft_wrap=True)
                return 0
            partial = {path: files.add(path.with_name(f".{path.name}.{os.getpid()}.partial")) for path in texts}
            for path, text in texts.items():
                partial[path].write_text(text, "utf-8")
            for path in texts:
                partial[path].replace(path)
    except EpisodeError as error:
        raise ConfigError(f"{error} XDG_DATA_HOME says where.") from error
    page.print(f"Wrote {entry}\nWrote {icon}", soft_wrap=True)
    page.print(f"SpaceMice and gamepads without root:\n  {udev_fix()}", soft_wrap=True)
    return 0


def _command() -> str:
    """Return the command that starts this installation, quoted as desktop entries want it."""
    beside = Path(sys.executable).with_name("frs")
    found = str(beside) if beside.is_file() else shutil.which("frs")
    words = [found] if found else [sys.executable, "-m", "frs_core.cli"]
    return " ".join(
        '"' + "".join(f"\\{c}" if c in '"`$\\' else c for c in word).replace("%", "%%") + '"' for word in words
    )
