"""Axes become one control at a time; controls become actions by one clash-checked map; left is what the operator sees."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frs_core import devices
from frs_core.devices import ANY_SCOPE, ControlChange, DominantAxis, InputMap, Stage, seen_direction
from frs_core.errors import ConfigError
from frs_core.steering.directions import Direction

PAIRS = [("left", "right"), ("back", "forward"), ("down", "up")]


def stages(axis: DominantAxis, *values: tuple[float, float, float]) -> list[tuple[str, Stage]]:
    """Return all changes of a sequence of readings."""
    return [(c, s) for reading in values for c, s, _ in axis.update(reading)]


def test_a_push_is_hinted_then_pressed_then_released() -> None:
    found = stages(DominantAxis(PAIRS), (0.1, 0, 0), (0.3, 0, 0), (0.6, 0, 0), (0, 0, 0))
    assert found == [("right", Stage.HINTED), ("right", Stage.PRESSED), ("right", Stage.RELEASED)]


def test_a_pressed_side_stays_pressed_down_to_the_leave_threshold() -> None:
    found = stages(DominantAxis(PAIRS), (-0.6, 0, 0), (-0.35, 0, 0), (-0.46, 0, 0))
    assert found == [("left", Stage.PRESSED)]


def test_two_axes_of_like_strength_press_nothing() -> None:
    assert stages(DominantAxis(PAIRS), (0.6, 0.55, 0))[0][1] is Stage.HINTED


def test_changing_over_releases_the_first_side_first() -> None:
    found = stages(DominantAxis(PAIRS), (0.6, 0, 0), (0.0, 0.0, 0.9))
    assert found == [("right", Stage.PRESSED), ("right", Stage.RELEASED), ("up", Stage.PRESSED)]


@given(st.lists(st.tuples(*[st.floats(-1.4, 1.4)] * 3), max_size=40))
def test_at_most_one_control_is_ever_down_and_release_leaves_none(readings: list[tuple[float, float, float]]) -> None:
    axis, down = DominantAxis(PAIRS), set()
    for change in [c for r in readings for c in axis.update(r)] + axis.release():
        control, stage, _ = change
        down.discard(control)
        if stage is Stage.PRESSED:
            assert not down
            down.add(control)
    assert not down


def make_map(**overrides: list[str]) -> InputMap:
    """Return a small map."""
    return InputMap(
        {"steer.left": ("key:Left",), "review.back": ("key:Left",), "hold": ("key:Space", "pad:start")},
        scopes={"steer.left": "drive", "review.back": "review", "hold": ANY_SCOPE},
        overrides=overrides,
    )


def test_one_key_may_serve_two_layouts_that_never_meet() -> None:
    inputs = make_map()
    assert inputs.clashes() == ()
    assert inputs.action("key:Left", scope="drive") == "steer.left"
    assert inputs.action("key:Left", scope="review") == "review.back"
    assert inputs.action("pad:start", scope="review") == "hold"
    assert inputs.action("key:J", scope="drive") is None


def test_rebinding_to_a_taken_control_is_refused_and_changes_nothing() -> None:
    inputs = make_map()
    with pytest.raises(ConfigError, match="Space is already bound to 'hold'"):
        inputs.rebind("steer.left", ["key:Space"])
    assert inputs.controls("steer.left") == ("key:Left",)


def test_overrides_replace_defaults_and_are_all_that_is_saved() -> None:
    inputs = make_map(**{"steer.left": ["key:J"]})
    assert inputs.overrides() == {"steer.left": ["key:J"]}
    inputs.reset("steer.left")
    assert inputs.overrides() == {}


def test_a_clash_in_stored_overrides_is_found() -> None:
    inputs = make_map(**{"steer.left": ["key:Space"]})
    assert [set(c.actions) for c in inputs.clashes()] == [{"steer.left", "hold"}]


def test_an_unbound_control_means_nothing() -> None:
    change = ControlChange("gamepad", "pad:x", Stage.PRESSED, 1.0, 0)
    assert make_map().intent(change, scope="drive") is None


def test_an_unknown_action_is_named() -> None:
    with pytest.raises(ConfigError, match="Unknown action"):
        make_map().controls("steer.lfet")


def test_a_device_states_itself_and_another_one_cannot_take_its_prefix(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    own = devices.device_classes()
    assert [c.kind for c in own] == list(devices.KNOWN)
    for kind in own:
        assert all(control.startswith(f"{kind.prefix}:") for control in kind.controls)
        assert {c for controls in kind.bindings.values() for c in controls} <= set(kind.controls)
    monkeypatch.setattr(devices, "plugins", lambda group: {"clone": "frs_core.devices.gamepad:Gamepad"})
    assert devices.device_classes() == own
    assert "which is already taken" in caplog.text


@given(st.floats(-np.pi, np.pi))
def test_seen_directions_are_four_different_ones_with_opposites(angle: float) -> None:
    T = np.eye(4)
    # A camera that looks horizontally along `angle`: x right, y down, z forward.
    z, y = np.array([np.cos(angle), np.sin(angle), 0.0]), np.array([0.0, 0.0, -1.0])
    T[:3, :3] = np.stack([np.cross(y, z), y, z], axis=1)
    flat = (Direction.LEFT, Direction.RIGHT, Direction.FORWARD, Direction.BACK)
    seen = {d: seen_direction(d, T) for d in flat}
    assert set(seen.values()) == set(flat)
    assert seen[Direction.LEFT] is seen[Direction.RIGHT].opposite
    assert float(seen[Direction.FORWARD].axis @ z) >= np.sqrt(0.5) - 1e-6
    assert seen_direction(Direction.UP, T) is Direction.UP


def test_behind_the_robot_nothing_is_turned() -> None:
    assert all(seen_direction(d, None) is d for d in Direction)
