"""A DROID raw trajectory made of sines and images that tell frame and camera apart, in the layout of the released data."""

import json
from pathlib import Path

import h5py
import numpy as np

from frs_core.episodes.droid_rows import flange_numbers
from frs_core.episodes.video import write_video

SERIALS = {"left": "22222222", "right": "11111111", "wrist": "33333333"}
"""The left camera has the higher number, so that sides cannot be inferred from numbers."""
K = np.array([[260.0, 0, 159.5], [0, 260.0, 89.5], [0, 0, 1]])
SIZE = (320, 180)


def picture(camera: str, frame: int) -> np.ndarray:
    """Return what a camera showed: a square in the camera's colour on a grey that jumps from frame to frame.

    Neighbouring frames differ by more than 30 grey levels on average; two rounds of H.264 cost about 3.
    """
    image = np.full((SIZE[1], SIZE[0], 3), 30 + 37 * frame % 160, dtype=np.uint8)
    x = 10 + 4 * frame
    image[50:100, x : x + 30] = {"left": (220, 60, 60), "right": (60, 220, 60), "wrist": (60, 60, 220)}[camera]
    image[140:170] = {"left": (200, 0, 0), "right": (0, 200, 0), "wrist": (0, 0, 200)}[camera]
    return image


def write_trajectory(
    folder: Path, *, steps: int = 30, skipped: tuple[int, ...] = (0, 1, 10), is_stereo: bool = False
) -> Path:
    """Write a successful trajectory and return its folder.

    Args:
        folder: gets trajectory.h5 and recordings/MP4.
        steps: rows.
        skipped: rows at which the demonstrator's hand was off.
        is_stereo: write side-by-side films.
    """
    folder.mkdir(parents=True, exist_ok=True)
    at = np.arange(steps)[:, None]
    q = np.array([0.0, -0.63, 0.0, -2.51, 0.0, 1.88, 0.0]) + 0.1 * np.sin(at / 10 + np.arange(7))
    skip = np.isin(np.arange(steps), skipped)
    velocity = 0.1 * np.cos(at / 10 + np.arange(7)) * ~skip[:, None]
    times = 1_682_000_000_000 + 67 * np.arange(steps)
    wrist = flange_numbers(q)
    leaves = {
        "observation/robot_state/joint_positions": q,
        "observation/robot_state/joint_velocities": np.zeros((steps, 7)),
        "observation/robot_state/gripper_position": np.linspace(0, 1, steps),
        "observation/robot_state/cartesian_position": flange_numbers(q),
        "observation/timestamp/skip_action": skip,
        "observation/timestamp/control/step_start": times,
        "observation/controller_info/success": np.arange(steps) == steps - 1,
        "action/joint_velocity": velocity,
        "action/joint_position": q + 0.2 * velocity,
        "action/gripper_position": np.linspace(0, 1.05, steps),
    }
    poses = {"left": [0.1, 0.6, 0.5, -2.0, 0.0, -2.6], "right": [0.1, -0.6, 0.5, -2.0, 0.0, -0.5]}
    for camera, serial in SERIALS.items():
        leaves[f"observation/camera_type/{serial}"] = np.full(steps, 0 if camera == "wrist" else 1)
        pose = wrist if camera == "wrist" else np.tile(poses[camera], (steps, 1))
        leaves[f"observation/camera_extrinsics/{serial}_left"] = pose
        leaves[f"observation/camera_intrinsics/{serial}_left"] = np.tile(K, (steps, 1, 1))
        leaves[f"observation/timestamp/cameras/{serial}_frame_received"] = times - 5
        images = (picture(camera, i) for i in range(steps))
        name = f"{serial}-stereo.mp4" if is_stereo else f"{serial}.mp4"
        wide = (np.concatenate([i, i[:, ::-1]], axis=1) for i in images) if is_stereo else images
        write_video(folder / "recordings" / "MP4" / name, wide, hz=60)
        (folder / "recordings" / "MP4" / f"{serial}_timestamps.json").write_text(json.dumps((times - 5).tolist()))
    with h5py.File(folder / "trajectory.h5", "w") as file:
        for name, value in leaves.items():
            file[name] = value
        file.attrs.update(
            user="Ada", building="B1", current_task="put the cup away", time="Thu_Apr_20_14:13:20_2023", success=True
        )
    return folder
