"""Cues: one per change that matters, short, shown whether heard or not, and no failure without audio."""

import ast
import dataclasses
import io
import sys
import wave
from pathlib import Path
from typing import Any

import PyQt6
import pytest
from PyQt6 import sip

from app import sounds
from app.cues import Cue, cue_of, wav_of
from app.qt import QtCore
from app.sounds import Sounds
from frs_core.events import Driver, EpisodeStatus, HoldReason, Pacing, Phase
from tests.fakes.snapshots import resting, snapshot
from tests.waiting import LONG_MS

OFFERED = snapshot()
MOVING = dataclasses.replace(OFFERED, phase=Phase.MOVING, picked="left/more")
PENDING = dataclasses.replace(OFFERED, is_fan_pending=True)
HELD = dataclasses.replace(OFFERED, phase=Phase.HOLD, hold_reason=HoldReason.CAMERA_STALE)
REFUSED = dataclasses.replace(OFFERED, counters={**OFFERED.counters, "refused": 1})
SEEN = dataclasses.replace(OFFERED, episode=dataclasses.replace(OFFERED.episode, success_seen=True))
UNATTENDED = dataclasses.replace(HELD, hold_reason=HoldReason.UNATTENDED)
AGAIN = dataclasses.replace(HELD, counters={**HELD.counters, "holds": 9})


@pytest.mark.parametrize(
    ("former", "now", "cue"),
    [
        (PENDING, OFFERED, Cue.READY),
        (MOVING, PENDING, Cue.CHUNK_ENDED),
        (MOVING, HELD, Cue.HOLD),
        (HELD, AGAIN, Cue.HOLD),
        (OFFERED, dataclasses.replace(OFFERED, phase=Phase.FAULT), Cue.HOLD),
        (MOVING, UNATTENDED, Cue.HELP),
        (MOVING, dataclasses.replace(OFFERED, call="it has been here before"), Cue.HELP),
        (OFFERED, REFUSED, Cue.REFUSED),
        (OFFERED, SEEN, Cue.SUCCESS),
        (OFFERED, OFFERED, None),
        (HELD, HELD, None),
        (None, OFFERED, None),
        (OFFERED, dataclasses.replace(resting(), episode=EpisodeStatus()), None),
        (
            dataclasses.replace(MOVING, pacing=Pacing.CONTINUOUS),
            dataclasses.replace(PENDING, pacing=Pacing.CONTINUOUS),
            None,
        ),
        (dataclasses.replace(MOVING, driver=Driver.LEARNED), dataclasses.replace(PENDING, driver=Driver.LEARNED), None),
    ],
)
def test_a_change_makes_its_cue(former: Any, now: Any, cue: Cue | None) -> None:
    assert cue_of(former, now) is cue


def test_a_hold_goes_before_everything_that_happens_with_it() -> None:
    both = dataclasses.replace(HELD, episode=SEEN.episode, counters={**HELD.counters, "refused": 3})
    assert cue_of(MOVING, both) is Cue.HOLD


@pytest.mark.parametrize("cue", Cue)
def test_every_cue_is_short_and_a_file_of_its_own(cue: Cue) -> None:
    with wave.open(io.BytesIO(wav_of(cue))) as file:
        assert file.getnframes() / file.getframerate() == pytest.approx(cue.seconds, abs=1e-3)
    assert cue.seconds < 0.6
    assert len({wav_of(other) for other in Cue}) == len(Cue)


@pytest.mark.parametrize(
    ("former", "now", "shown"),
    [
        (MOVING, HELD, lambda w: w.state.badge.word == "HOLD" and "camera" in w.state.sentence.text),
        (MOVING, UNATTENDED, lambda w: "Nobody has picked" in w.state.sentence.text),
        (OFFERED, SEEN, lambda w: w.drive.episode.success.text().endswith("?")),
        (PENDING, OFFERED, lambda w: w.state.badge.word == "CHOOSE" and w.state.sentence.text == "Pick a direction"),
        (MOVING, PENDING, lambda w: w.state.badge.word == "CHOOSE" and w.state._numbers["chunk"].text() == "–"),
        (
            OFFERED,
            dataclasses.replace(REFUSED, notice=(1, "The fan is not ready yet")),
            lambda w: "The fan is not ready yet" in w.toasts.texts,
        ),
    ],
)
def test_whatever_sounds_is_shown_while_sounds_are_off(window: Any, former: Any, now: Any, shown: Any) -> None:
    window.settings.values.sounds = False
    heard: list[Cue] = []
    window.sounds._play.connect(heard.append)
    window.take(former)
    window.state.badge._end_flash()
    window.take(now)
    assert window.state.badge.is_flashing
    assert shown(window)
    assert heard == []


def test_a_refused_press_sounds_and_sounds_can_be_switched_off(window: Any) -> None:
    heard: list[Cue] = []
    window.sounds._play.connect(heard.append)
    window.pilot.press_refused.emit("The fan is not ready yet")
    assert heard == [Cue.REFUSED]
    window.run("settings.sounds")
    window.pilot.press_refused.emit("The fan is not ready yet")
    assert heard == [Cue.REFUSED]
    assert "Sounds are off" in window.toasts.texts
    window.run("settings.sounds")
    assert any(text.startswith("Sounds are on") for text in window.toasts.texts)


def test_the_audio_thread_of_a_window_that_is_destroyed_lives_until_the_loop_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("PyQt6.QtMultimedia", exc_type=ImportError)
    monkeypatch.setenv("PULSE_SERVER", "unix:/nowhere")
    parent = QtCore.QObject()
    made = Sounds(parent, is_on=lambda: True)
    made.open()
    [thread] = sounds._RUNNING
    sip.delete(parent)
    assert not thread.isFinished()
    sounds.end_threads()
    assert thread.isFinished()
    assert not sounds._RUNNING


@pytest.mark.parametrize("is_installed", [False, True])
def test_without_audio_nothing_fails_and_the_reason_is_known(
    qtbot: Any, monkeypatch: pytest.MonkeyPatch, is_installed: bool
) -> None:
    if is_installed:
        pytest.importorskip("PyQt6.QtMultimedia", exc_type=ImportError)
        monkeypatch.setenv("PULSE_SERVER", "unix:/nowhere")
    else:
        monkeypatch.setitem(sys.modules, "PyQt6.QtMultimedia", None)
        monkeypatch.delattr(PyQt6, "QtMultimedia", raising=False)
    parent = QtCore.QObject()
    made = Sounds(parent, is_on=lambda: True)
    made.open()
    qtbot.waitUntil(lambda: made.why_not != "Sounds start after the first fan", timeout=LONG_MS)
    for cue in Cue:
        made.make(cue)
    made.shut()
    made.shut()
    if not is_installed:
        assert "apt install libpulse0" in made.why_not
    else:
        assert made.why_not in ("", sounds.NO_DEVICE)


def test_qts_messages_are_not_handled_in_python() -> None:
    # The audio plug-ins log while they are loaded; a handler that waits for the interpreter stops the whole program.
    app = Path(sounds.__file__).parent
    calls = {file: _handled(ast.parse(file.read_text())) for file in app.rglob("*.py")}
    while_made = calls.pop(app / "application.py")
    assert not [file for file, handlers in calls.items() if handlers]
    # While the application is made, before anything of sound is loaded; it is taken away again whatever happens.
    assert [ast.unparse(n) for n in while_made] == ["on_message", "None"]


def _handled(tree: ast.AST) -> list[ast.expr]:
    found = [
        n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func).endswith("qInstallMessageHandler")
    ]
    return [n.args[0] for n in sorted(found, key=lambda n: n.lineno)]
