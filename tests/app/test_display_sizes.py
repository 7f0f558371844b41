"""The session learns at what size cameras are shown, and display pictures are painted pixel by pixel."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from PyQt6 import QtGui

from frs_core.events import ShowCameras
from tests.fakes.snapshots import snapshot
from tests.waiting import LONG_MS


def _newest(window: Any, qtbot: Any, port: Any, count: int) -> dict[str, tuple[int, int]]:
    qtbot.waitUntil(lambda: len(port.of(ShowCameras)) >= count, timeout=LONG_MS)
    return port.of(ShowCameras)[-1].sizes


@pytest.fixture
def shown(window: Any, port: Any, qtbot: Any) -> Any:
    window.take(snapshot())
    _newest(window, qtbot, port, 1)
    return window


def test_the_session_is_told_the_size_of_every_image_on_the_screen(shown: Any, port: Any) -> None:
    views = shown.drive.cameras.views
    assert port.of(ShowCameras)[-1].sizes == {name: view.size_shown for name, view in views.items()}
    for name, (height, width) in port.of(ShowCameras)[-1].sizes.items():
        view = views[name]
        assert width == pytest.approx(height * view.aspect, abs=1.5)
        assert min(height / view.height(), width / view.width()) <= 1.01
        assert max(height / view.height(), width / view.width()) == pytest.approx(1.0, abs=0.01)


def test_a_camera_shown_alone_is_the_only_one_and_none_is_shown_in_review(shown: Any, port: Any, qtbot: Any) -> None:
    shown.drive.cameras.toggle_alone()
    assert list(_newest(shown, qtbot, port, 2)) == [shown.drive.cameras.primary]
    shown.show_layout("train")
    assert _newest(shown, qtbot, port, 3) == {}
    shown.show_layout("drive")
    assert list(_newest(shown, qtbot, port, 4)) == [shown.drive.cameras.primary]


def test_a_smaller_share_asks_for_smaller_pictures(shown: Any, port: Any, qtbot: Any) -> None:
    full = port.of(ShowCameras)[-1].sizes
    shown.display_sizes.use_share(0.5)
    halves = _newest(shown, qtbot, port, 2)
    assert halves == {name: (round(h / 2), round(w / 2)) for name, (h, w) in full.items()}
    shown.display_sizes.use_share(0.0)
    assert _newest(shown, qtbot, port, 3) == {}


def test_a_display_picture_of_the_size_shown_is_painted_pixel_by_pixel(shown: Any) -> None:
    view = shown.drive.cameras.views[shown.drive.cameras.primary]
    height, width = view.size_shown
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    frame = dataclasses.replace(view.model.frame, display=picture)
    view.show_model(dataclasses.replace(view.model, frame=frame, fan=None, trail=None, target=None))
    scale, (left, top) = view.placement()
    # The image's own pixels still place fan and clicks.
    assert scale == pytest.approx(height / frame.image.shape[0], rel=0.01)
    got = view.grab().toImage().convertToFormat(QtGui.QImage.Format.Format_RGB888)
    painted = np.frombuffer(got.constBits().asstring(got.sizeInBytes()), np.uint8)
    rows = painted.reshape(got.height(), got.bytesPerLine())[:, : 3 * got.width()].reshape(got.height(), -1, 3)
    # Below the badge.
    area = rows[round(top) + 40 : round(top) + height, round(left) : round(left) + width]
    np.testing.assert_array_equal(area, picture[40:])
