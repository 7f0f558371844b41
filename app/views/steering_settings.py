"""The steering settings: pacing, driver, step size, reversal depth, gripper, frame, noise. Each change makes a new fan.

Shows the values that the session uses, not the requested ones. Where the row is too wide for the window, a control becomes a
button with a menu, the drivers first, because installed packages add to them. GUI thread.
"""

from collections.abc import Callable

from app import theme
from app.boxes import Column, Row
from app.qt import Qt, QtCore, QtGui, QtWidgets, Signal
from app.settings import Settings
from app.views.widgets import ActionButton, Segments, captioned, label
from frs_core.choosers.registry import choosers
from frs_core.devices.intent import InputMap
from frs_core.events import Driver, Pacing, Snapshot
from frs_core.steering.candidates import LEARNED
from frs_core.steering.directions import Gripper


class SteeringSettings(QtWidgets.QFrame):
    """The bar with the steering settings.

    Args:
        run: runs an action by id.
    """

    pacing_chosen = Signal(object)
    driver_chosen = Signal(object)
    gripper_chosen = Signal(object)
    amount_chosen = Signal(str)
    frame_chosen = Signal(str)
    depth_chosen = Signal(int)

    def __init__(self, run: Callable[[str], object]) -> None:
        super().__init__()
        self.setProperty("role", "bar")
        self._choosers = choosers()
        self.pacing = Segments(
            [
                (Pacing.GATED.value, "Gated", "The robot moves only after a pick"),
                (
                    Pacing.CONTINUOUS.value,
                    "Continuous",
                    "The held direction is picked; with no key held the policy moves",
                ),
            ],
            name="Pacing",
        )
        self.driver = Segments(
            [(row.id, row.title, row.tooltip) for row in self._choosers.values()],
            name="Who drives",
        )
        self.amount = Segments([("less", "Less", "Half a step"), ("more", "More", "A whole step")], name="Step size")
        self.gripper = Segments(
            [
                (Gripper.POLICY.value, "Policy", "The policy controls the gripper"),
                (Gripper.OPEN.value, "Open", "Steered candidates open it"),
                (Gripper.CLOSE.value, "Close", "Steered candidates close it"),
            ],
            name="Gripper",
        )
        self.frame = Segments(
            [
                ("base", "Robot", "Left is the robot's left, as seen from behind it"),
                ("camera", "Camera", "Left is left in the large image"),
            ],
            name="Left means",
        )
        self.depth_slider = QtWidgets.QSlider(Qt.Orientation.Horizontal)
        self.depth_slider.setRange(1, 10)
        self.depth_slider.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        theme.on_scale(self.depth_slider, lambda slider: slider.setFixedWidth(theme.px(84)))
        self.depth_slider.setAccessibleName("Reversal depth")
        self.depth_slider.setToolTip(
            "Steps of reversal: fewer stay closer to the request, more to the policy's own behaviour"
        )
        self._depth_text = label("10 of 10")
        theme.on_scale(self._depth_text, lambda text: text.setMinimumWidth(theme.px(58)))
        self.seed = ActionButton("knob.seed", run, text="New")
        self._depth_later = QtCore.QTimer(self)
        self._depth_later.setSingleShot(True)
        self._depth_later.setInterval(60)
        self._depth_later.timeout.connect(lambda: self.depth_chosen.emit(self.depth_slider.value()))
        depth = QtWidgets.QWidget()
        # As high as the buttons beside it, so that the captions are on one line.
        theme.on_scale(depth, lambda box: box.setMinimumHeight(theme.px(30)))
        inner = Row(depth, margins=(0, 0, 0, 0))
        inner.addWidget(self.depth_slider)
        inner.addWidget(self._depth_text)
        row = Row(self, margins=(8, 2, 8, 4), spacing=10)
        columns: dict[QtWidgets.QWidget, Column] = {}
        for caption, widget in (
            ("pacing", self.pacing),
            ("who drives", self.driver),
            ("step size", self.amount),
            ("gripper", self.gripper),
            ("left means", self.frame),
            ("reversal depth", depth),
            ("policy's noise", self.seed),
        ):
            columns[widget] = captioned(caption, widget)
            row.addLayout(columns[widget])
        row.addStretch(1)
        self._shrinking = tuple(
            (s, columns[s]) for s in (self.driver, self.pacing, self.gripper, self.frame, self.amount)
        )
        theme.on_scale(self, SteeringSettings._fit)
        self.pacing.chosen.connect(lambda v: self.pacing_chosen.emit(Pacing(v)))
        self.driver.chosen.connect(lambda v: self.driver_chosen.emit(Driver(v)))
        self.gripper.chosen.connect(lambda v: self.gripper_chosen.emit(Gripper(v)))
        self.amount.chosen.connect(self.amount_chosen)
        self.frame.chosen.connect(self.frame_chosen)
        self.depth_slider.valueChanged.connect(self._on_depth_moved)

    def minimumSizeHint(self) -> QtCore.QSize:
        """Return the size with a menu in place of every row of options."""
        hint = super().minimumSizeHint()
        spare = sum(
            column.minimumSize().width() - _menu_width(segments, column) for segments, column in self._shrinking
        )
        return QtCore.QSize(hint.width() - spare, hint.height())

    def resizeEvent(self, event: QtGui.QResizeEvent | None) -> None:
        """Use as few menus as the width allows."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        row = self.layout()
        assert row is not None
        for count in range(len(self._shrinking) + 1):
            for i, (segments, _) in enumerate(self._shrinking):
                segments.set_menu(i < count)
            row.activate()
            if row.minimumSize().width() <= self.width():
                return

    def use_map(self, inputs: InputMap) -> None:
        """Show the current keys in tooltips."""
        self.seed.use_map(inputs)

    def set_drivers(self, available: tuple[Driver, ...]) -> None:
        """Disable the drivers that are not available; the learned one depends on the fan."""
        for row in self._choosers.values():
            if row.make:
                self.driver.set_available(row.id, row.driver in available, why_not=row.why_not)

    def show_snapshot(self, snapshot: Snapshot, settings: Settings) -> None:
        """Show the values of the session."""
        self.pacing.show_value(snapshot.pacing.value)
        self.driver.show_value(snapshot.driver.value)
        self.gripper.show_value(snapshot.gripper.value)
        self.amount.show_value(settings.amount)
        self.frame.show_value(settings.frame)
        has_learned = snapshot.noise_policy is not None or (snapshot.fan is not None and LEARNED in snapshot.fan)
        self.driver.set_available(Driver.LEARNED.value, has_learned, why_not=self._choosers["learned"].why_not)
        plan = snapshot.plan
        depth = plan.depth or plan.steps
        if not self.depth_slider.isSliderDown() and not self._depth_later.isActive():
            self.depth_slider.blockSignals(True)
            self.depth_slider.setRange(1, plan.steps)
            self.depth_slider.setValue(depth)
            self.depth_slider.blockSignals(False)
            self._depth_text.setText(f"{depth} of {plan.steps}")

    def _on_depth_moved(self, value: int) -> None:
        self._depth_text.setText(f"{value} of {self.depth_slider.maximum()}")
        self._depth_later.start()


def _menu_width(segments: Segments, column: Column) -> int:
    """Return the width of options and caption where the options are behind a menu."""
    caption = column.itemAt(0)
    assert caption is not None
    return max(segments.menu_button.width(), caption.minimumSize().width())
