"""The fan on an image: projected exactly, caps apart, meaning never by colour alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.qt import QtCore, QtGui
from app.views.fan_caps import TOGETHER_PX, clear_of, place_caps, tell_apart
from app.views.fan_curves import FanStyle, curve_at, glyph_of, mark_on, project_fan
from app.views.fan_overlay import paint_fan
from frs_core.steering.candidates import CandidateKind
from frs_core.steering.directions import Amount, Gripper
from tests.fakes.snapshots import sample_fan, sample_observation

FRAMES = sample_observation().frames


@pytest.fixture(params=sorted(FRAMES))
def calibration(request: pytest.FixtureRequest):
    """Each camera's calibration."""
    return FRAMES[request.param].calibration


def test_every_candidate_of_the_present_step_has_a_cap_and_the_others_none(calibration) -> None:
    curves = project_fan(sample_fan(), calibration, style=FanStyle(), cap_of=lambda c: "K")
    full = [c for c in curves if c.is_full]
    assert all(c.cap == "K" for c in full)
    assert all(c.cap == "" for c in curves if not c.is_full)
    assert {c.candidate.command.amount for c in full if c.candidate.command} == {Amount.MORE}


def test_curves_are_the_projected_paths(calibration) -> None:
    for curve in project_fan(sample_fan(), calibration, style=FanStyle(), cap_of=lambda c: ""):
        expected, _ = calibration.project(curve.candidate.path)
        np.testing.assert_allclose(curve.uv, expected)
        assert curve.executed == sample_fan().execute_rows + 1


def test_the_mark_lies_on_the_picked_curve_between_its_rows(calibration) -> None:
    curves = project_fan(sample_fan(), calibration, style=FanStyle(picked="left/more"), cap_of=lambda c: "")
    uv = next(c.uv for c in curves if c.candidate.label == "left/more")
    last = sample_fan().execute_rows
    for rows, expected in ((0.0, uv[0]), (1.25, 0.75 * uv[1] + 0.25 * uv[2]), (last, uv[last]), (last + 9.0, uv[last])):
        at = mark_on(curves, "left/more", rows, 2.0, (10.0, 20.0))
        if np.isfinite(expected).all():
            assert at is not None
            np.testing.assert_allclose((at.x(), at.y()), (expected + 0.5) * 2.0 + (10.0, 20.0))
        else:
            assert at is None
    assert mark_on(curves, None, 1.0, 2.0, (0.0, 0.0)) is None


def test_no_two_kinds_of_candidate_share_a_glyph() -> None:
    full = [c for c in sample_fan().candidates if c.command is None or c.command.amount is Amount.MORE]
    glyphs = [glyph_of(c) for c in full]
    assert len(set(glyphs)) == len(glyphs)


def test_the_gripper_mark_follows_the_chunk() -> None:
    calibration = FRAMES["left"].calibration
    assert calibration is not None
    for gripper, closing in ((Gripper.CLOSE, True), (Gripper.OPEN, False)):
        curves = project_fan(sample_fan(gripper), calibration, style=FanStyle(), cap_of=lambda c: "")
        steered = [c for c in curves if c.candidate.kind is CandidateKind.STEERED and c.candidate.command.direction]  # type: ignore[union-attr]
        assert {c.is_closing for c in steered} == {closing}


def test_a_curve_is_found_under_the_pointer_and_nothing_far_away() -> None:
    calibration = FRAMES["left"].calibration
    assert calibration is not None
    curves = project_fan(sample_fan(), calibration, style=FanStyle(show_other=False), cap_of=lambda c: "")
    scale, offset = 8.0, (5.0, 7.0)
    for curve in curves:
        tip = (curve.uv[curve.executed - 1] + 0.5) * scale + np.array(offset)
        found = curve_at(curves, (tip[0], tip[1]), scale=scale, offset=offset)
        assert found is not None
        distance = np.linalg.norm((found.uv[: found.executed] + 0.5) * scale + np.array(offset) - tip, axis=1).min()
        assert distance < 1e-6
    assert curve_at(curves, (-500.0, -500.0), scale=scale, offset=offset) is None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 400), st.floats(0, 300)), min_size=1, max_size=9), st.integers(0, 10**6))
def test_caps_stay_in_the_picture_and_do_not_cover_each_other(anchors: list[tuple[float, float]], seed: int) -> None:
    angles = np.random.default_rng(seed).uniform(0, 2 * np.pi, len(anchors))
    sizes = np.tile([34.0, 20.0], (len(anchors), 1))
    bounds = QtCore.QRectF(0, 0, 400, 300)
    headings = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    centres = place_caps(np.array(anchors), headings, sizes, bounds)
    assert (centres - sizes / 2 >= 0).all()
    assert (centres + sizes / 2 <= [400, 300]).all()
    gaps = np.abs(centres[:, None] - centres[None])
    overlap = (gaps < sizes[0] - 0.51).all(axis=2) & ~np.eye(len(centres), dtype=bool)
    # Many anchors in one corner cannot all be freed; pairs that overlap stay rare.
    assert overlap.sum() / 2 <= max(0, len(anchors) - 6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(10, 40))
def test_no_cap_covers_what_the_gripper_holds(seed: int, radius: float) -> None:
    rng = np.random.default_rng(seed)
    tool, angles = rng.uniform([100, 100], [300, 200]), rng.uniform(0, 2 * np.pi, 6)
    headings = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    anchors = tool + headings * rng.uniform(0, 30, (6, 1))
    sizes = np.tile([44.0, 20.0], (6, 1))
    disc = (float(tool[0]), float(tool[1]), radius)
    centres = place_caps(anchors, headings, sizes, QtCore.QRectF(0, 0, 400, 300), keep_clear=disc)
    gaps = np.linalg.norm(np.maximum(np.abs(centres - tool) - sizes / 2, 0), axis=1)
    assert gaps.min() >= radius - 1.0


def test_what_the_gripper_holds_is_where_the_curves_begin() -> None:
    calibration = FRAMES["left"].calibration
    assert calibration is not None
    curves = project_fan(sample_fan(), calibration, style=FanStyle(), cap_of=lambda c: "K")
    disc = clear_of(curves, 8.0, (5.0, 7.0), QtCore.QRectF(0, 0, 2000, 2000))
    assert disc is not None
    assert disc[:2] == pytest.approx(((curves[0].uv[0] + 0.5) * 8.0 + np.array([5.0, 7.0])).tolist())
    side = calibration.T_base_camera[:3, 0]
    tip, beside = curves[0].candidate.path[0], curves[0].candidate.path[0] + 0.045 * side
    uv, _ = calibration.project(np.stack([tip, beside]))
    assert disc[2] == pytest.approx(8.0 * np.linalg.norm(uv[1] - uv[0]), rel=0.5)
    assert clear_of(curves, 8.0, (5.0, 7.0), QtCore.QRectF(-100, -100, 50, 50)) is None


def test_curves_that_end_together_are_numbered_where_they_lie_apart() -> None:
    along = np.linspace(0, 1, 9)[:, None]
    straight = along * [100.0, 0.0]
    bent = np.concatenate([along * 100.0, 30 * np.sin(np.pi * along)], axis=1)
    alone = along * [0.0, 100.0]
    paths = [straight, bent, alone]
    ends = np.array([path[-1] for path in paths])
    first, second, third = tell_apart(ends, paths)
    assert third is None
    assert first is not None
    assert second is not None
    assert (first[0], second[0]) == (1, 2)
    apart = np.linalg.norm(straight[first[1]] - bent, axis=1).min()
    assert apart > TOGETHER_PX
    assert tell_apart(ends[[0, 2]], [straight, alone]) == [None, None]


def painted(style: FanStyle, ground: str, *, begins_behind: bool = False) -> np.ndarray:
    """Return the overlay on a plain ground, whose first curve may begin behind the camera."""
    image = QtGui.QImage(512, 512, QtGui.QImage.Format.Format_RGB888)
    image.fill(QtGui.QColor(ground))
    calibration = FRAMES["left"].calibration
    assert calibration is not None
    curves = project_fan(sample_fan(), calibration, style=style, cap_of=lambda c: "K")
    if begins_behind:
        curves[0].uv[0] = np.nan
    painter = QtGui.QPainter(image)
    paint_fan(painter, curves, style=style, scale=8.0, offset=(0.0, 0.0), bounds=QtCore.QRectF(0, 0, 512, 512))
    painter.end()
    bits = image.constBits()
    assert bits is not None
    return (
        np.frombuffer(bits.asstring(image.sizeInBytes()), np.uint8).reshape(512, -1)[:, : 512 * 3].reshape(512, 512, 3)
    )


@pytest.mark.parametrize("ground", ["#ffffff", "#000000", "#808080"])
def test_the_fan_reads_on_any_ground(qapp, ground: str) -> None:
    image = painted(FanStyle(), ground).astype(int)
    level = int(ground[1:3], 16)
    differs = np.abs(image - level).max(axis=2) > 90
    assert differs.sum() > 1500


def test_a_stale_fan_has_no_colour(qapp) -> None:
    image = painted(FanStyle(is_stale=True), "#000000").astype(int)
    assert (image.max(axis=2) - image.min(axis=2)).max() < 40


def test_a_highlight_dims_the_others(qapp) -> None:
    plain, stressed = painted(FanStyle(), "#000000"), painted(FanStyle(highlight="left/more"), "#000000")
    assert stressed.astype(int).sum() < plain.astype(int).sum()


def test_all_caps_are_shown_where_a_curve_begins_behind_the_camera(qapp) -> None:
    with_caps, without = (
        painted(FanStyle(has_caps=has), "#000000", begins_behind=True).astype(int) for has in (True, False)
    )
    # Two characters and a frame each, in light ink.
    assert (np.abs(with_caps - without).max(axis=2) > 90).sum() > 1000
