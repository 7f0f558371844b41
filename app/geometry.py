"""Store and restore the geometry of the window and its splitters. GUI thread."""

from collections.abc import Iterable

from app.qt import QtCore, QtWidgets
from app.settings import SettingsFile


class GeometryFile:
    """Stores and restores one window's geometry, beside the settings; does nothing in safe mode.

    Args:
        window: whose geometry it is.
        settings: determine the folder of the file.
    """

    def __init__(self, window: QtWidgets.QWidget, settings: SettingsFile) -> None:
        self._window, self._settings = window, settings

    def restore_window(self) -> bool:
        """Restore the window's position and size; tell whether they were stored."""
        return self.restore("window", self._window)

    def restore_splitters(self, page: QtWidgets.QWidget) -> None:
        """Restore the splitters of a page."""
        if self._settings.is_safe:
            return
        stored = self._file()
        for name, splitter in _splitters(page).items():
            state = stored.value(f"splitters/{name}")
            if isinstance(state, QtCore.QByteArray):
                splitter.restoreState(state)

    def restore(self, name: str, window: QtWidgets.QWidget) -> bool:
        """Restore position and size of another window; tell whether they were stored."""
        geometry = None if self._settings.is_safe else self._file().value(name)
        return isinstance(geometry, QtCore.QByteArray) and window.restoreGeometry(geometry)

    def keep(self, name: str, window: QtWidgets.QWidget) -> None:
        """Save position and size of another window."""
        if not self._settings.is_safe:
            self._file().setValue(name, window.saveGeometry())

    def save(self, pages: Iterable[QtWidgets.QWidget]) -> None:
        """Save the geometry of the window and of the splitters of its pages."""
        if self._settings.is_safe:
            return
        stored = self._file()
        stored.setValue("window", self._window.saveGeometry())
        for page in pages:
            for name, splitter in _splitters(page).items():
                stored.setValue(f"splitters/{name}", splitter.saveState())
        stored.sync()

    def _file(self) -> QtCore.QSettings:
        return QtCore.QSettings(str(self._settings.folder / "geometry.ini"), QtCore.QSettings.Format.IniFormat)


def _splitters(page: QtWidgets.QWidget) -> dict[str, QtWidgets.QSplitter]:
    return {f"{type(page).__name__}.{i}": s for i, s in enumerate(page.findChildren(QtWidgets.QSplitter))}
