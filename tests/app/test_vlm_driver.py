"""The vision-language model in the window: greyed with the reason and the fix, and driving over a real connection."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.facts import Facts
from app.settings import SettingsFile
from app.window import CockpitWindow
from app.workers import SessionBridge
from frs_core.choosers.registry import Setting, make_choosers
from frs_core.choosers.vlm import VlmChooser
from frs_core.episodes.records import MemoryRecorder
from frs_core.events import Driver, HoldReason, Phase, SetDriver, StartEpisode
from frs_core.session import LiveSession, SessionOptions
from frs_core.worlds.link import InlineLink
from tests.fakes.policy import ToyPolicy
from tests.fakes.vlm import FakeVlm
from tests.fakes.world import PointWorld
from tests.waiting import LONG_MS

WAIT = LONG_MS


def test_without_an_address_it_is_greyed_with_the_reason_and_the_fix(make_window: Any, port: Any) -> None:
    window = make_window()
    button = window.drive.steering.driver.button(Driver.VLM.value)
    assert not button.isEnabled()
    assert "start with --vlm" in button.toolTip()
    window.run("driver.vlm")
    assert any("FRS_VLM_URL" in text for text in window.toasts.texts)
    assert port.of(SetDriver) == []


def test_an_address_makes_it_a_driver(make_window: Any, port: Any) -> None:
    assert Driver.VLM not in make_choosers(Setting())
    made = make_choosers(Setting(options={"vlm": "http://127.0.0.1:1/v1"}))
    window = make_window(drivers=tuple(made))
    button = window.drive.steering.driver.button(Driver.VLM.value)
    assert button.isEnabled()
    button.click()
    assert port.of(SetDriver) == [SetDriver(Driver.VLM)]


def test_the_script_can_be_chosen_once_the_world_says_it_brings_one() -> None:
    spec = PointWorld().spec
    here: list[str] = []
    facts = Facts("point", "toy", choosers=make_choosers(Setting(world_operator=lambda: here[0] if here else "")))
    facts.learn(spec, None)
    assert Driver.SCRIPTED not in facts.drivers
    here.append("anywhere:Operator")
    assert facts.learn(spec, None)
    assert Driver.SCRIPTED in facts.drivers


@pytest.fixture
def driven(tmp_path: Path, qtbot: Any) -> Iterator[tuple[CockpitWindow, FakeVlm, MemoryRecorder]]:
    """A cockpit on a live session that can ask a model on the loopback."""
    recorder = MemoryRecorder()
    with FakeVlm() as server:
        session = LiveSession(
            InlineLink(PointWorld(), step_images=True, snapshots=True),
            ToyPolicy,
            recorder=recorder,
            choosers={Driver.VLM: VlmChooser(server.url)},
            options=SessionOptions(
                act_life_s=60.0, heartbeat_timeout_s=60.0, inference_timeout_s=60.0, write_timeout_s=60.0
            ),
        )
        settings = SettingsFile(tmp_path / "config")
        settings.values.has_seen_first_run = True
        facts = Facts("point", "toy", drivers=(Driver.PERSON, Driver.LEARNED, Driver.VLM))
        window = CockpitWindow(SessionBridge(session), facts, settings)
        window.show_cockpit()
        qtbot.waitExposed(window)
        try:
            qtbot.waitUntil(lambda: bool(window.facts.tasks and window.facts.fingerprint), timeout=WAIT)
            yield window, server, recorder
        finally:
            window.close()
            session.close()
            window.deleteLater()


def test_it_drives_and_its_failure_holds_with_a_sentence(driven: Any, qtbot: Any) -> None:
    window, server, recorder = driven
    window.bridge.send(StartEpisode("reach_right", seed=1))
    window.run("driver.vlm")
    qtbot.waitUntil(lambda: window.snapshot.driver is Driver.VLM, timeout=WAIT)
    qtbot.waitUntil(lambda: window.snapshot.episode.chunks >= 2, timeout=WAIT)
    server.status = 500
    qtbot.waitUntil(lambda: window.snapshot.phase is Phase.HOLD, timeout=WAIT)
    assert window.snapshot.hold_reason is HoldReason.DRIVER_FAILED
    assert "status 500" in window.snapshot.detail
    assert recorder.open_episode is not None
    chunk = recorder.open_episode.chunks[0]
    assert (chunk.picked, chunk.driver, chunk.reason) == ("left/more", Driver.VLM, "the goal is left")
