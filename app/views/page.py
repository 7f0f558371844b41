"""Base class of the pages of the layouts. GUI thread."""

from collections.abc import Callable

from app.qt import QtWidgets
from app.workers import Job
from frs_core.devices.intent import InputMap
from frs_core.events import Snapshot


class LayoutPage(QtWidgets.QWidget):
    """A page with its own actions; overriding the hooks is optional."""

    handlers: dict[str, Callable[[], object]]
    """Action id -> handler."""

    def use_map(self, inputs: InputMap) -> None:
        """Show the current keys in tooltips."""

    def use_theme(self) -> None:
        """Take colours from the current theme where the stylesheet does not reach."""

    def use_facts(self) -> None:
        """Use the facts of the run, which have changed: world and policy have started."""

    def set_active(self, is_active: bool) -> None:
        """Called when the page is shown or hidden."""

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Show the parts of a live snapshot that concern the page."""

    def note_changed_on_disk(self) -> None:
        """Called when an episode was written, so that lists are out of date."""

    def reset_layout(self) -> None:
        """Reset the sizes of all panes."""

    def shut(self) -> None:
        """Stop every thread and timer; no job of the page reports after this."""
        for job in self.findChildren(Job):
            job.close(5.0)
