"""A tiny pi0.5 checkpoint on disk, in either family's layout, and an observation for it."""

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from frs_core.robot.observation import CameraFrame, Observation

FIXTURE = Path(__file__).parents[1] / "fixtures" / "pi05"
HORIZON = 15


def make_checkpoint(
    root: Path, *, name: str = "pi05_droid", family: str = "openpi", sizes: tuple[int, int] = (8, 8)
) -> Path:
    """Write a complete checkpoint folder and return it.

    Args:
        root: where to put it.
        name: of the folder.
        family: "openpi" or "lerobot".
        sizes: numbers in state and action statistics.
    """
    folder = root / name
    folder.mkdir(parents=True)
    weights = load_file(FIXTURE / "weights.safetensors")
    if family == "openpi":
        weights = {k.removeprefix("model."): v for k, v in weights.items()}
        tied = "paligemma_with_expert.paligemma."
        # The converter keeps only the head's name of the tied embedding.
        weights[f"{tied}lm_head.weight"] = weights.pop(f"{tied}model.language_model.embed_tokens.weight")
    save_file(weights, folder / "model.safetensors")
    shutil.copy(FIXTURE / "tokenizer.model", folder)
    stats = {"state": _stats(sizes[0], 1), "actions": _stats(sizes[1], 2)}
    if family == "openpi":
        asset = "physical-intelligence/libero" if "libero" in name else "droid"
        (folder / "assets" / asset).mkdir(parents=True)
        (folder / "assets" / asset / "norm_stats.json").write_text(json.dumps({"norm_stats": stats}))
        config: dict[str, object] = {"action_dim": 32, "action_horizon": HORIZON, "precision": "bfloat16"}
    else:
        tensors = {
            f"{group}.{k}": torch.tensor(v)
            for group, key in (("observation.state", "state"), ("action", "actions"))
            for k, v in stats[key].items()
        }
        save_file(tensors, folder / "policy_preprocessor_step_3_normalizer_processor.safetensors")
        step = {
            "registry_name": "normalizer_processor",
            "state_file": "policy_preprocessor_step_3_normalizer_processor.safetensors",
        }
        (folder / "policy_preprocessor.json").write_text(json.dumps({"steps": [step]}))
        config = lerobot_config(state=sizes[0], action=sizes[1])
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def lerobot_config(*, state: int = 8, action: int = 8) -> dict[str, object]:
    """Return the `config.json` of a LeRobot pi05."""
    return {
        "type": "pi05",
        "chunk_size": HORIZON,
        "n_action_steps": 8,
        "max_action_dim": 32,
        "input_features": {
            "observation.images.base": {"type": "VISUAL", "shape": [3, 56, 56]},
            "observation.images.wrist": {"type": "VISUAL", "shape": [3, 56, 56]},
            "observation.images.empty_camera_0": {"type": "VISUAL", "shape": [3, 56, 56]},
            "observation.state": {"type": "STATE", "shape": [state]},
        },
        "output_features": {"action": {"type": "ACTION", "shape": [action]}},
        "normalization_mapping": {"VISUAL": "IDENTITY", "STATE": "QUANTILES", "ACTION": "MEAN_STD"},
    }


def make_observation(*, instruction: str = "pick up the red cup") -> Observation:
    """Return an observation with two images of the fixture."""
    images = load_file(FIXTURE / "inputs.safetensors")["images"].numpy()
    frames = {name: CameraFrame(images[i], captured_ns=1) for i, name in enumerate(("left", "wrist"))}
    return Observation(
        frames=frames,
        q=np.array([0.1, -0.5, 0.2, -2.0, 0.1, 1.6, 0.7]),
        dq=np.zeros(7),
        gripper=0.0,
        T_base_tcp=np.eye(4),
        instruction=instruction,
        captured_ns=1,
    )


def _stats(size: int, seed: int) -> dict[str, list[float]]:
    rng = np.random.default_rng(seed)
    low, high = -rng.uniform(0.5, 1.5, size), rng.uniform(0.5, 1.5, size)
    return {
        "mean": ((low + high) / 2).tolist(),
        "std": ((high - low) / 3).tolist(),
        "q01": low.tolist(),
        "q99": high.tolist(),
    }
