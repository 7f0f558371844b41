"""What the window expects of a layout's page. GUI thread."""

from collections.abc import Callable

from app.qt import QtWidgets
from app.workers import Job
from frs_core.devices.intent import InputMap
from frs_core.events import Snapshot


class LayoutPage(QtWidgets.QWidget):
    """A page with its own actions; every hook may be left as it is."""

    handlers: dict[str, Callable[[], None]]
    """Action id -> what it does."""

    def use_map(self, inputs: InputMap) -> None:
        """Show the present keys in tooltips."""

    def use_theme(self) -> None:
        """Take colours from the present theme where the stylesheet does not reach."""

    def set_active(self, is_active: bool) -> None:
        """The page is shown or hidden."""

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Show what of a live snapshot concerns the page."""

    def note_changed_on_disk(self) -> None:
        """An episode was written; lists are out of date."""

    def reset_layout(self) -> None:
        """Give every pane its first size."""

    def shut(self) -> None:
        """Stop every thread and timer; no job of the page reports after this."""
        for job in self.findChildren(Job):
            job.close(5.0)
