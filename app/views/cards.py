"""The cards over the window: command palette, help sheet, first-run card, keys and devices. At most one is open. GUI thread."""

from collections.abc import Callable

from app.inputs import Inputs
from app.qt import QtWidgets
from app.views.devices_panel import DevicesPanel
from app.views.first_run import FirstRunCard
from app.views.help_sheet import HelpSheet
from app.views.overlay import Overlay
from app.views.palette import Palette


class Cards:
    """Opens and closes the cards; keys go to the open card.

    Args:
        body: the widget that they cover.
        run: runs an action by id.
        inputs: notified when a card is open.
        save_map: called when the operator has changed a key.
        on_first_run_read: called when the first-run card is closed.
    """

    def __init__(
        self,
        body: QtWidgets.QWidget,
        run: Callable[[str], object],
        inputs: Inputs,
        *,
        save_map: Callable[[], None],
        on_first_run_read: Callable[[], None],
    ) -> None:
        self._body, self._inputs = body, inputs
        self.palette = Palette(run, self.close)
        self.help = HelpSheet()
        self.first_run = FirstRunCard(on_first_run_read)
        self.devices = DevicesPanel(inputs, save=save_map)
        self.overlays = {
            "palette": Overlay(body, self.palette, top=True),
            "help": Overlay(body, self.help),
            "first": Overlay(body, self.first_run),
            "devices": Overlay(body, self.devices),
        }
        for overlay in self.overlays.values():
            overlay.closed.connect(self._tell_inputs)
        # However it was closed, it was seen.
        self.overlays["first"].closed.connect(on_first_run_read)

    @property
    def open_now(self) -> str:
        """Name of the open card; empty = none."""
        return next((name for name in self.overlays if self.is_open(name)), "")

    def is_open(self, name: str) -> bool:
        """Whether a card is shown."""
        return self.overlays[name].isVisible()

    def toggle(self, name: str, *, layout: str) -> None:
        """Open a card, or close it if it is open; `layout` selects the keys that it shows."""
        was_open = self.is_open(name)
        self.close()
        if was_open:
            return
        self._inputs.keyboard.release_all()
        if name == "palette":
            self.palette.prepare(self._inputs.map, layout)
        elif name == "help":
            self.help.use_map(self._inputs.map, layout)
        elif name == "first":
            self.first_run.use_map(self._inputs.map)
        else:
            self.devices.refresh()
        self.overlays[name].open()
        self._tell_inputs()

    def close(self) -> None:
        """Close every card."""
        for overlay in self.overlays.values():
            overlay.shut()
        window = self._body.window()
        focused = window.focusWidget() if window is not None else None
        if focused is not None:
            focused.clearFocus()
        self._tell_inputs()

    def show_held(self, held: tuple[str, ...]) -> None:
        """Highlight the pressed keys on the help sheet."""
        if self.is_open("help"):
            self.help.keyboard.set_held(held)

    def _tell_inputs(self) -> None:
        self._inputs.is_overlay_open = bool(self.open_now)
        self._inputs.keyboard.is_capturing = False
