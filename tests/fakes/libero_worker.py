"""A LIBERO worker without LIBERO: the product's own messages around a tool that slides over a board of colours.

Run as the real one is, by `-E` and a socket. Images are drawn bottom row first, as MuJoCo's are: the left half is red, the lower half
blue, and the tool a white square. A can and a basket are not drawn, but known to scripts: the can goes with fingers that close around it,
and every task wants it in the basket. Scenes 900 and up misbehave.
"""

import importlib.util
import os
import sys
import time
from pathlib import Path

import numpy as np

WORKER = Path(__file__).parents[2] / "frs_core" / "worlds" / "libero" / "worker.py"
BASE = np.array([-0.66, 0.0, 0.912])
START = np.array([-0.21, 0.0, 1.17])
EYE, FOVY = np.array([-0.2, 0.0, 2.2]), 60.0
TABLE = 0.9
CAN, BASKET = np.array([0.03, 0.03, 0.05]), np.array([0.06, 0.06, 0.04])
"""Half sides, metres."""
DIES, HANGS, DONE_AT_ONCE, LARGE = 900, 901, 902, 903
_spec = importlib.util.spec_from_file_location("libero_worker", WORKER)
assert _spec is not None
assert _spec.loader is not None
worker = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(worker)


class FakeSimulator:
    """Has the methods of `worker.Simulator`."""

    def __init__(self) -> None:
        self.calls = 0
        names = (WORKER.parent / "task_names.txt").read_text(encoding="ascii").split()
        self.tasks: dict[str, list[str]] = {}
        for name, file in zip(names[::2], names[1::2], strict=True):
            self.tasks.setdefault(name.split("/")[0], []).append(file)
        if os.environ.get("FRS_FAKE_LIBERO") == "other edition":
            self.tasks["libero_10"].reverse()

    def reset(self, suite, task, seed, wait, keep=False):
        if seed == DIES:
            sys.stderr.write("the arena collapsed\n")
            sys.stderr.flush()
            os._exit(3)
        while seed == HANGS:
            time.sleep(0.05)
        self.scene = (suite, task, seed)
        self.p = START + 1e-4 * np.random.default_rng([task, seed]).uniform(-1, 1, 3)
        self.grip, self.time, self.is_held = -1.0, 0.05 * wait, False
        spots = np.random.default_rng([task, seed, 1]).uniform(-0.03, 0.03, (2, 2))
        self.can = np.array([-0.15, -0.1, TABLE + CAN[2]]) + [*spots[0], 0.0]
        self.basket = np.array([0.0, 0.2, TABLE + BASKET[2]]) + [*spots[1], 0.0]
        return self.facts()

    def facts(self):
        return {
            "instruction": self.tasks[self.scene[0]][self.scene[1]].replace("_", " "),
            "base_pos": BASE.tolist(),
            "base_quat": [1.0, 0.0, 0.0, 0.0],
            "memory_mb": 1e6 if self.scene[2] == LARGE else 100.0,
        }

    def step(self, action):
        action = np.clip(np.array(action), -1.0, 1.0)
        way = 0.26 * 0.05 * action[:3]
        self.p = self.p + way
        self.grip = float(np.sign(action[6]))
        off = np.abs(self.p - self.can)
        self.is_held = self.grip > 0 and (self.is_held or bool(off[:2].max() < 0.02 and off[2] < CAN[2]))
        if self.is_held:
            self.can = self.can + way
        else:
            self.can[2] = TABLE + CAN[2]
        self.time += 0.05

    @property
    def done(self):
        return self.scene[2] == DONE_AT_ONCE or self.p[2] > START[2] + 0.05 or self.is_in

    @property
    def is_in(self):
        return not self.is_held and bool(np.abs(self.can - self.basket)[:2].max() < BASKET[0] - 0.01)

    def state(self):
        finger = 0.0387 if self.grip < 0 else 0.0
        return {"done": bool(self.done), "time": self.time}, {
            "eef_pos": self.p.copy(),
            "eef_quat": np.array([1.0, 0.0, 0.0, 0.0]),
            "gripper_qpos": np.array([finger, -finger]),
            "joint_pos": np.array([0.0, -0.17, -0.02, -2.45, 0.0, 2.23, 0.77]),
            "joint_vel": np.zeros(7),
        }

    def save(self):
        header, arrays = self.state()
        zeros = {name: np.zeros(2) for name in ("seen", "goal_pos", "goal_ori", "clocks", "site_rgba")}
        arrays |= {
            "state": np.concatenate([self.p, [self.time], self.can, [self.is_held]]),
            "grip": np.array([self.grip]),
            **zeros,
        }
        return header | dict(zip(("suite", "task", "seed"), self.scene, strict=True)), arrays

    def load(self, header, arrays):
        self.scene = (header["suite"], header["task"], header["seed"])
        self.reset(*self.scene, 0)
        state = arrays["state"]
        self.p, self.time, self.grip = state[:3].copy(), float(state[3]), float(arrays["grip"][0])
        self.can, self.is_held = state[4:7].copy(), bool(state[7])
        return self.facts()

    def describe(self):
        thin = 0.004
        walls = [
            ([0, 0, thin - BASKET[2]], [BASKET[0], BASKET[1], thin]),
            *(([sign * BASKET[0], 0, 0], [thin, BASKET[1], BASKET[2]]) for sign in (-1, 1)),
            *(([0, sign * BASKET[1], 0], [BASKET[0], thin, BASKET[2]]) for sign in (-1, 1)),
        ]
        boxes = [[0, 0, 0, 0, 0, *np.eye(3).ravel(), *CAN]]
        boxes += [[1, 1, *centre, *np.eye(3).ravel(), *half] for centre, half in walls]
        header = {
            "goals": [["in", "can_1", "basket_1_inside"]],
            "things": [["can_1", "can", False], ["basket_1", "basket", False]],
            "roots": [0, 1],
            "joints": [],
            "sites": [["basket_1_inside", "basket_1", []]],
        }
        sites = np.array([[BASKET[0] - 0.01, BASKET[1] - 0.01, BASKET[2]]])
        return header, {"boxes": np.array(boxes), "joints": np.zeros((0, 9)), "sites": sites}

    def poses(self):
        places = np.stack([self.can, self.basket, self.basket])
        rows = np.concatenate([places, np.tile(np.eye(3).ravel(), (3, 1))], axis=1)
        header = {"met": [self.is_in], "held": ["can_1"] if self.is_held else []}
        return header, {"bodies": rows[:2], "sites": rows[2:], "joints": np.zeros(0)}

    def look(self, pictures, room):
        images = {name: self._drawn(width, height) for _, width, height, name in pictures}
        # It looks straight down, its x to the arm's right: y of the image is the arm's forward.
        mat = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
        pose = {"pos": EYE.tolist(), "mat": mat.reshape(-1).tolist(), "fovy": FOVY}
        return {"cameras": dict.fromkeys(images, pose)}, images

    def _drawn(self, width, height):
        image = np.zeros((height, width, 3), dtype=np.uint8)
        image[:, : width // 2, 0] = 200
        image[: height // 2, :, 2] = 200
        focal = 0.5 * height / np.tan(np.radians(FOVY) / 2)
        depth = EYE[2] - self.p[2]
        # MuJoCo's rows count from below, pixel centres lie between the edges.
        x = width / 2 - focal * (self.p[1] - EYE[1]) / depth
        y = height / 2 + focal * (self.p[0] - EYE[0]) / depth
        rows, columns = np.mgrid[0:height, 0:width] + 0.5
        image[(np.abs(rows - y) < 3) & (np.abs(columns - x) < 3)] = 255
        return image

    def close(self):
        pass


def versions():
    """Return what the real one says, of a version that the environment chooses."""
    mujoco = os.environ.get("FRS_FAKE_MUJOCO", "3.3.7")
    return {
        "protocol": worker.PROTOCOL,
        "python": "3.8",
        "mujoco": mujoco,
        "robosuite": "robosuite 1.4.0",
        "libero": "fake 1",
    }


if __name__ == "__main__":
    worker.versions, worker.start = versions, FakeSimulator
    worker.main()
