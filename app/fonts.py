"""A font where the system has none.

Problem: in a container or on a bare machine fontconfig finds no font, and Qt draws every letter as an empty box. Idea: matplotlib, which
the product needs anyway, ships DejaVu Sans; it is lent to Qt where Qt has nothing else.

GUI thread, after the application object exists.
"""

import logging
from importlib.util import find_spec
from pathlib import Path

from app.qt import QtGui

_FILES = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSansMono.ttf")
_log = logging.getLogger("app.fonts")


def provide() -> tuple[str, ...]:
    """Add matplotlib's fonts where there are none, and return the families that were added."""
    if QtGui.QFontDatabase.families():
        return ()
    # The package's place, without importing it before the first image.
    found = find_spec("matplotlib")
    folder = Path(found.origin).parent / "mpl-data/fonts/ttf" if found is not None and found.origin else Path()
    numbers = [QtGui.QFontDatabase.addApplicationFont(str(folder / file)) for file in _FILES]
    families = {f for n in numbers if n >= 0 for f in QtGui.QFontDatabase.applicationFontFamilies(n)}
    if not families:
        _log.warning(
            "This system has no fonts, so texts are empty boxes. Install one: sudo apt install fonts-dejavu-core"
        )
    return tuple(sorted(families))
