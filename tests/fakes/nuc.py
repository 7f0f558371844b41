"""DROID's robot computer without a robot: a zerorpc server that drives the unmodified RobotEnv of a DROID checkout.

    python -m tests.fakes.nuc --address tcp://127.0.0.77:4242 --drive mujoco --images zed
    {"ready": "tcp://127.0.0.77:4242"}

`--drive mujoco` puts the embedded MuJoCo Franka behind it, with the tabletop's three cameras written as files for the fake
ZED SDK (tests/fakes/zed_sdk). Physics advances by one control period per command, so results do not depend on how busy the
machine is. Needs zerorpc.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
from jaxtyping import Float

from frs_core.robot.actions import JOINT_STEP, ActionKind
from frs_core.worlds.droid.calibration import pose_numbers
from tests.fakes.franka import Drive, FakeFranka, KinematicDrive

SERIALS = {"left": "41000001", "right": "41000002", "wrist": "41000003"}


class MujocoDrive(Drive):
    """The embedded MuJoCo Franka; one command is one control period."""

    def __init__(self, *, task: str = "mug_on_plate", seed: int = 0) -> None:
        """Set up a scene."""
        from frs_core.worlds.tabletop.sim import TabletopSim

        self.sim = TabletopSim()
        self.sim.reset(task, seed=seed)
        self._gripper = 0.0
        self.version = 0
        """Counts changes, for whoever draws."""

    def go(self, q: Float[np.ndarray, " 7"], *, blocking: bool) -> None:
        """Advance one period towards the target, or all the way at half speed if blocking."""
        target = np.asarray(q, dtype=np.float64)
        if not blocking:
            self._advance(target)
            return
        start = self.sim.q
        periods = max(8, int(np.ceil(np.abs(target - start).max() / (0.5 * JOINT_STEP))))
        for i in range(1, periods + 1):
            self._advance(start + (target - start) * i / periods)
        for _ in range(4):
            self._advance(target)

    def grip(self, position: float, *, blocking: bool) -> None:
        """Take a gripper target."""
        self._gripper = float(np.clip(position, 0.0, 1.0))
        for _ in range(8 if blocking else 0):
            self._advance(self.sim.q)

    def read(self) -> tuple[Float[np.ndarray, " 7"], Float[np.ndarray, " 7"], float]:
        """Return the simulated arm's state."""
        return self.sim.q, self.sim.dq, self.sim.gripper

    def _advance(self, q: Float[np.ndarray, " 7"]) -> None:
        self.sim.step(np.append(q, self._gripper), ActionKind.JOINT_POSITION)
        self.version += 1


class Pictures:
    """Writes the tabletop's cameras where the fake ZED SDK reads them."""

    def __init__(self, drive: MujocoDrive, folder: Path) -> None:
        """Open the renderer; must be used by the thread that made it."""
        from frs_core.worlds.tabletop.cameras import Cameras

        self._drive, self._folder, self._drawn = drive, folder, -1
        self._cameras = Cameras(drive.sim.model, drive.sim.data)
        self.draw()
        self._describe()

    def draw(self) -> None:
        """Write the images if anything moved."""
        if self._drawn == self._drive.version:
            return
        self._drawn = self._drive.version
        for name, serial in SERIALS.items():
            rgb = self._cameras.render(name)
            bgra = np.full((*rgb.shape[:2], 4), 255, np.uint8)
            bgra[..., :3] = rgb[..., ::-1]
            part = self._folder / f"{serial}.part"
            with part.open("wb") as file:
                np.save(file, bgra)
            part.replace(self._folder / f"{serial}.npy")

    def _describe(self) -> None:
        from frs_core.robot import kinematics

        made = {}
        for name, serial in SERIALS.items():
            calibration = self._cameras.calibration(name)
            K, T = calibration.K, calibration.T_base_camera
            if name == "wrist":
                T = np.linalg.inv(kinematics.flange_pose(self._drive.sim.q)) @ T
            eye = {"fx": K[0, 0], "fy": K[1, 1], "cx": K[0, 2], "cy": K[1, 2]}
            (self._folder / f"{serial}.json").write_text(json.dumps(eye))
            made[f"{serial}_left"] = {"pose": pose_numbers(T).tolist(), "timestamp": time.time()}
        (self._folder / "calibration_info.json").write_text(json.dumps(made))


def main() -> None:
    """Serve until killed."""
    import gevent
    import zerorpc

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="tcp://127.0.0.1:4242")
    parser.add_argument("--drive", choices=("kinematic", "mujoco"), default="kinematic")
    parser.add_argument("--task", default="mug_on_plate")
    parser.add_argument("--pictures", type=Path, default=None)
    args = parser.parse_args()
    drive = MujocoDrive(task=args.task) if args.drive == "mujoco" else KinematicDrive()
    if args.pictures is not None:
        if not isinstance(drive, MujocoDrive):
            parser.error("--pictures needs --drive mujoco")
        pictures = Pictures(drive, args.pictures)

        def keep_drawing() -> None:
            while True:
                gevent.sleep(0.1)
                pictures.draw()

        gevent.spawn(keep_drawing)
    server = zerorpc.Server(FakeFranka(drive))
    server.bind(args.address)
    sys.stdout.write(json.dumps({"ready": args.address, "pid": os.getpid()}) + "\n")
    sys.stdout.flush()
    server.run()


if __name__ == "__main__":
    main()
