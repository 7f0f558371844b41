"""Play the cues on a thread of their own, where the machine can: no audio device and no audio library are no failure.

Problem: opening the audio system takes up to a second, and a machine beside a robot often has none. Idea: `QSoundEffect` lives on a
thread of its own, which opens the device after the first fan; the window only posts a cue to it. GUI thread, except for `_Player`.

Qt's messages must not be handled in Python (`qInstallMessageHandler`): the audio plug-ins log while the system loads them, and the handler
would wait for the interpreter, which may wait for the system's loader. The whole program then stands still.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.cues import Cue, cue_of, wav_of
from app.qt import QtCore, Signal
from frs_core.events import Snapshot

_log = logging.getLogger("app")
NO_DEVICE = "No audio output was found"
END_MS = 3000
"""Longest wait for the audio thread to end."""


_RUNNING: set[QtCore.QThread] = set()
"""Audio threads that run; kept here, because nothing else owns them."""


def _end(thread: QtCore.QThread) -> None:
    """End an audio thread after what it was asked before; safe to call twice."""
    if thread in _RUNNING:
        thread.quit()
        if thread.wait(END_MS):
            _RUNNING.discard(thread)


def end_threads() -> None:
    """End the audio threads whose window was destroyed without being closed; when the event loop has ended."""
    for thread in tuple(_RUNNING):
        _end(thread)


class _Player(QtCore.QObject):
    """Holds the effects; lives on the audio thread."""

    opened = Signal(str)
    """Why nothing can be heard; empty when all is well."""

    def __init__(self, library: Any) -> None:
        super().__init__()
        self._library = library
        self._folder: QtCore.QTemporaryDir | None = None
        self._effects: dict[Cue, Any] = {}
        self._devices: Any = None

    def open(self) -> None:
        """Open the audio system and watch for devices."""
        self._folder = QtCore.QTemporaryDir()
        for cue in Cue:
            Path(self._folder.filePath(f"{cue.name}.wav")).write_bytes(wav_of(cue))
        self._devices = self._library.QMediaDevices()
        self._devices.audioOutputsChanged.connect(self._load)
        self._load()

    def _load(self) -> None:
        """Make the effects for the present device."""
        assert self._folder is not None
        self._effects = {}
        if self._library.QMediaDevices.defaultAudioOutput().isNull():
            self.opened.emit(NO_DEVICE)
            return
        for cue in Cue:
            effect = self._library.QSoundEffect()
            effect.setSource(QtCore.QUrl.fromLocalFile(self._folder.filePath(f"{cue.name}.wav")))
            self._effects[cue] = effect
        self.opened.emit("")

    def play(self, cue: Cue) -> None:
        """Play a cue from its start."""
        if (effect := self._effects.get(cue)) is not None:
            effect.play()

    def close(self) -> None:
        """Let the device go, on the thread that opened it."""
        self._effects, self._devices, self._folder = {}, None, None


class Sounds(QtCore.QObject):
    """Turns what happens into cues.

    Args:
        parent: the window.
        is_on: whether the operator wants to hear them.
    """

    cued = Signal(object)
    """A Cue, also while sounds are off: what is shown for it follows."""
    _play = Signal(object)

    def __init__(self, parent: QtCore.QObject, *, is_on: Callable[[], bool]) -> None:
        super().__init__(parent)
        self._is_on = is_on
        self._thread: QtCore.QThread | None = None
        self._player: _Player | None = None
        self.why_not = "Sounds start after the first fan"
        """Why nothing can be heard now; empty when all is well."""

    def open(self) -> None:
        """Start the audio thread; safe to call twice."""
        if self._thread is not None:
            return
        QtCore.QLoggingCategory.setFilterRules("qt.multimedia*=false")
        try:
            # Here, not on the audio thread: Qt's types are registered while a module of it is imported. 15 ms.
            from PyQt6 import QtMultimedia
        except ImportError as error:
            self._on_opened(f"The audio library cannot be loaded ({error}); on Debian: apt install libpulse0")
            return
        # Without a parent: Qt aborts the program if a thread that runs is destroyed, and another program may destroy the window.
        # `end_threads` ends it then.
        self._thread = QtCore.QThread()
        _RUNNING.add(self._thread)
        self._thread.setObjectName("frs-audio")
        self._player = _Player(QtMultimedia)
        self._player.moveToThread(self._thread)
        self._player.opened.connect(self._on_opened)
        self._thread.started.connect(self._player.open)
        self._play.connect(self._player.play)
        # Directly: on the thread that opened the device, just before it ends.
        direct = QtCore.Qt.ConnectionType.DirectConnection
        self._thread.finished.connect(self._player.close, direct)  # pyright: ignore[reportCallIssue]
        self._thread.start()

    def follow(self, former: Snapshot | None, now: Snapshot) -> None:
        """Make the cue for what changed between two snapshots."""
        if (cue := cue_of(former, now)) is not None:
            self.make(cue)

    def make(self, cue: Cue) -> None:
        """Show a cue, and play it if the operator wants to hear it."""
        if self._is_on():
            self._play.emit(cue)
        self.cued.emit(cue)

    def shut(self) -> None:
        """End the audio thread."""
        if self._thread is not None:
            _end(self._thread)
            self._thread = None

    def _on_opened(self, why_not: str) -> None:
        if why_not and why_not != self.why_not:
            _log.info("no sounds: %s", why_not)
        self.why_not = why_not
