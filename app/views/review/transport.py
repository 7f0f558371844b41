"""Play, pause, step and speed: the playback position of the Review layout. GUI thread."""

from collections.abc import Callable, Sequence

from app import theme
from app.boxes import Row
from app.qt import Qt, QtCore, QtWidgets, Signal
from app.views.widgets import ActionButton, label
from frs_core.devices.intent import InputMap

SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
LEAST_TICK_MS = 30
"""Shortest timer interval; faster playback skips frames."""


class Transport(QtWidgets.QWidget):
    """The playback buttons and the position.

    Args:
        run: runs an action by id.
    """

    moved = Signal(int)
    """The new position, in frames of the main line."""
    playing_changed = Signal(bool)

    def __init__(self, run: Callable[[str], object]) -> None:
        super().__init__()
        self.position, self.speed = 0, 1.0
        self._length, self._control_hz = 0, 15.0
        self._starts: Sequence[int] = ()
        self._clock = QtCore.QTimer(self)
        self._clock.setTimerType(Qt.TimerType.PreciseTimer)
        self._clock.timeout.connect(self._tick)
        self.handlers: dict[str, Callable[[], object]] = {
            "review.play": self.toggle_play,
            "review.frame_back": lambda: self.step(-1),
            "review.frame_forward": lambda: self.step(1),
            "review.chunk_back": lambda: self.step_chunk(-1),
            "review.chunk_forward": lambda: self.step_chunk(1),
            "review.first": lambda: self.seek(0),
            "review.last": lambda: self.seek(self._length - 1),
            "review.slower": lambda: self._change_speed(-1),
            "review.faster": lambda: self._change_speed(1),
        }
        row = Row(self, margins=(0, 0, 0, 0))
        self.buttons = {
            a: ActionButton(f"review.{a}", run, text="")
            for a in ("chunk_back", "frame_back", "play", "frame_forward", "chunk_forward")
        }
        for button in self.buttons.values():
            theme.on_scale(button, lambda b: b.setMaximumWidth(theme.px(44)))
            row.addWidget(button)
        self.speed_box = QtWidgets.QComboBox()
        self.speed_box.addItems([f"{s:g}×" for s in SPEEDS])
        self.speed_box.setCurrentIndex(SPEEDS.index(self.speed))
        self.speed_box.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.speed_box.setAccessibleName("Playing speed")
        self.speed_box.currentIndexChanged.connect(lambda i: self.set_speed(SPEEDS[i]))
        row.addWidget(self.speed_box)
        self.time = label("0.0 s", "value")
        row.addWidget(self.time)

    @property
    def is_playing(self) -> bool:
        """Whether the episode is playing."""
        return self._clock.isActive()

    def use_map(self, inputs: InputMap) -> None:
        """Show the current keys in tooltips."""
        for button in self.buttons.values():
            button.use_map(inputs)

    def open(self, length: int, *, control_hz: float, starts: Sequence[int]) -> None:
        """Go to the start of an episode.

        Args:
            length: frames; 0 = nothing is open.
            control_hz: frames per second at speed 1.
            starts: frames at which chunks start.
        """
        self._length, self._control_hz, self._starts = length, control_hz, starts
        self.position = 0
        self._show_time()
        if length == 0:
            self.pause()

    def toggle_play(self) -> None:
        """Play (from the start if at the end) or pause."""
        if self.is_playing or not self._length:
            self.pause()
            return
        if self.position >= self._length - 1:
            self.seek(0)
        self._clock.start(self._interval())
        self._show_play()

    def pause(self) -> None:
        """Stop playing."""
        self._clock.stop()
        self._show_play()

    def set_speed(self, speed: float) -> None:
        """Play at 0.25 to 8 times the recorded speed."""
        self.speed = speed
        if self.is_playing:
            self._clock.start(self._interval())

    def seek(self, position: int) -> None:
        """Go to a frame."""
        if not self._length:
            return
        self.position = max(0, min(position, self._length - 1))
        self._show_time()
        self.moved.emit(self.position)

    def step(self, by: int) -> None:
        """Pause and move by a number of frames."""
        self.pause()
        self.seek(self.position + by)

    def step_chunk(self, by: int) -> None:
        """Pause and go to the previous or next chunk boundary."""
        self.pause()
        if by > 0:
            self.seek(next((s for s in self._starts if s > self.position), self._length - 1))
        else:
            self.seek(next((s for s in reversed(self._starts) if s < self.position), 0))

    def _interval(self) -> int:
        return max(LEAST_TICK_MS, round(1000 / (self._control_hz * self.speed)))

    def _tick(self) -> None:
        self.seek(self.position + max(1, round(self._clock.interval() / 1000 * self._control_hz * self.speed)))
        if self.position >= self._length - 1:
            self.pause()

    def _show_time(self) -> None:
        self.time.setText(f"{self.position / self._control_hz:.1f} of {self._length / self._control_hz:.1f} s")

    def _show_play(self) -> None:
        self.buttons["play"].setText("❚❚" if self.is_playing else "▶")
        self.playing_changed.emit(self.is_playing)

    def _change_speed(self, by: int) -> None:
        index = SPEEDS.index(self.speed) + by
        if 0 <= index < len(SPEEDS):
            self.speed_box.setCurrentIndex(index)
