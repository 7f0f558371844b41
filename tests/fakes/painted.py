"""A point world with a green ball where the tool is to go, and a model that finds it in the picture it is sent."""

import json
from collections.abc import Callable, Sequence

import numpy as np

from frs_core.arrays import Array
from frs_core.robot.observation import Calibration, CameraFrame
from frs_core.steering.directions import Direction
from tests.fakes.world import PointWorld

_SCALE = 3
_GREEN = (30, 200, 60)


class PaintedWorld(PointWorld):
    """Shows its goal."""

    def _frame(self, name: str, now: int) -> CameraFrame:
        frame = super()._frame(name, now)
        assert frame.calibration is not None
        axis = Direction(self.task.removeprefix("reach_")).axis
        uv, _ = frame.calibration.project(self._start + 0.16 * axis)
        image = frame.image.copy()
        v, u = np.mgrid[0 : image.shape[0], 0 : image.shape[1]]
        image[(u - uv[0]) ** 2 + (v - uv[1]) ** 2 < 6.0**2] = _GREEN
        return CameraFrame(image, frame.captured_ns, frame.calibration)

    def _calibration(self, name: str) -> Calibration:
        small = super()._calibration(name)
        K = small.K * _SCALE
        K[2, 2] = 1.0
        return Calibration(K, small.T_base_camera, small.width * _SCALE, small.height * _SCALE)


def seeing(directions: Sequence[Direction] = (Direction.LEFT, Direction.RIGHT)) -> Callable[[list[Array]], str]:
    """Return a model that sends the tool, the upper end of the blue line, towards the green ball, in one of these directions."""
    observation = PaintedWorld().observe()
    calibration = observation.frames["left"].calibration
    assert calibration is not None
    ends = np.stack([observation.p_tcp, *(observation.p_tcp + 0.1 * d.axis for d in directions)])
    uv, _ = calibration.project(ends)
    ways = (uv[1:] - uv[0]) / np.linalg.norm(uv[1:] - uv[0], axis=1, keepdims=True)

    def answer(pictures: list[Array]) -> str:
        [picture] = pictures
        red, green, blue = (picture[..., i].astype(int) for i in range(3))
        line = np.argwhere((blue > 150) & (blue - red > 80) & (blue - green > 60))
        ball = np.argwhere((green > 130) & (green - red > 80) & (green - blue > 80))
        if not len(line) or not len(ball):
            return json.dumps({"pick": "unsteered", "reason": "nothing to be seen"})
        tool = line[line[:, 0].argmin()]
        way = (ball.mean(axis=0) - tool)[::-1]
        best = directions[int((ways @ way).argmax())]
        return json.dumps({"pick": f"{best.value}/more", "reason": "towards the ball"})

    return answer
