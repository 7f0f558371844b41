"""Load a pi0.5 checkpoint into a ready policy, or say exactly why not.

Example: `load("weights/pi05_droid")`; on a GPU in bfloat16, else float32 on the CPU (13 GB).
Any thread; the policy then belongs to the inference worker.
"""

import logging
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from frs_core.errors import ConfigError, PolicyError
from frs_core.policies.pi05.checkpoint import inspect_checkpoint
from frs_core.policies.pi05.checkpoint_facts import Checkpoint
from frs_core.policies.pi05.model import Pi05Model
from frs_core.policies.pi05.policy import Pi05Policy
from frs_core.policies.pi05.tokens import Tokenizer
from frs_core.policies.pi05.weights import FileSource
from frs_core.policies.torch_device import torch_device
from frs_core.robot.observation import CameraFrame, Observation
from frs_core.runtime.bounds import Size
from frs_core.steering.camera_pairing import CamerasOption
from frs_core.steering.methods import gaussian

FARTHEST = 10.0
"""Largest normalised action in the self-test; 1 is an end of the statistics. Guess: networks with random weights reach 5."""
_HOME = (0.0, -math.pi / 5, 0.0, -4 * math.pi / 5, 0.0, 3 * math.pi / 5, 0.0)
"""Joints, rad, near which every statistics of a Franka lie. Source: droid/robot_env.py, reset_joints."""

_log = logging.getLogger(__name__)

_TYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def load(
    path: str | Path,
    *,
    preset: str | None = None,
    cameras: CamerasOption | None = None,
    device: str | None = None,
    dtype: str | None = None,
    norm_stats: str | Path | None = None,
    tokenizer: str | Path | None = None,
    horizon: Size | None = None,
    prompt_state_size: Size | None = None,
    use_graphs: bool = True,
    hold_padding: bool = False,
    name: str | None = None,
) -> Pi05Policy:
    """Return the policy of a checkpoint folder.

    Args:
        path: folder with `model.safetensors` (openpi converted, or LeRobot).
        preset: meaning of the actions (`presets.PRESETS`); None = from the folder's note, or its exact published name.
        cameras: which camera fills which image input, "base_0_rgb=left,left_wrist_0_rgb=wrist"; None = by their names.
        device: "cuda", "cuda:1", "cpu"; None = a GPU if there is one.
        dtype: "bfloat16" or "float32"; None = bfloat16 on a GPU, float32 on the CPU.
        norm_stats: statistics file, if it is not in the folder.
        tokenizer: SentencePiece file, if it is not in the folder.
        horizon: rows of a chunk, for a fine-tune that changed its preset's.
        prompt_state_size: numbers of the state in the prompt, 32 for what LeRobot 0.4 trained, which padded it; None = the robot's own.
        use_graphs: record loops on a GPU.
        hold_padding: keep unused columns at zero along the flow (fine-tunes by LeRobot).
        name: shown to the operator; None = the folder's name.
    Raises:
        WeightsMissing: no such folder.
        ConfigError: the checkpoint is incomplete, a weight is not finite, or an option does not fit it.
        PolicyError: the loaded network samples nothing that is an action.
    """
    checkpoint = inspect_checkpoint(
        Path(path),
        preset=preset,
        norm_stats=Path(norm_stats) if norm_stats else None,
        tokenizer=Path(tokenizer) if tokenizer else None,
        horizon=horizon,
        cameras=cameras,
        prompt_state_size=prompt_state_size,
    )
    for note in checkpoint.assumed_notes:
        _log.warning("Checkpoint '%s': %s", checkpoint.root, note)
    return load_inspected(
        checkpoint, device=device, dtype=dtype, use_graphs=use_graphs, hold_padding=hold_padding, name=name
    )


def load_inspected(
    checkpoint: Checkpoint,
    *,
    device: str | None = None,
    dtype: str | None = None,
    use_graphs: bool = True,
    hold_padding: bool = False,
    name: str | None = None,
) -> Pi05Policy:
    """Return the policy of a checkpoint that was inspected; arguments and errors as of `load`."""
    checkpoint.require()
    assert checkpoint.size is not None
    assert checkpoint.tokenizer is not None
    words = Tokenizer(checkpoint.tokenizer, vocabulary=checkpoint.size.vocabulary)
    where = torch_device(device)
    kind = dtype or ("bfloat16" if where.type == "cuda" else "float32")
    if kind not in _TYPES:
        raise ConfigError(f"dtype is '{kind}', known: {', '.join(_TYPES)}.")
    try:
        source = FileSource(checkpoint.files, device=where, dtype=_TYPES[kind])
        with torch.inference_mode():
            model = Pi05Model(source, checkpoint.size)
        policy = Pi05Policy(
            model,
            checkpoint,
            words,
            name=name or checkpoint.root.resolve().name,
            use_graphs=use_graphs,
            hold_padding=hold_padding,
        )
        _self_test(policy)
    except (MemoryError, RuntimeError) as error:
        # On a processor PyTorch says it with a RuntimeError.
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        needed = checkpoint.size.parameters() * _TYPES[kind].itemsize / 1e9
        raise ConfigError(
            f"Checkpoint '{checkpoint.root}' does not fit into the memory of {where}: its weights alone take {needed:.1f} GB as {kind}. Close "
            f"other programs there, or choose another device or dtype."
        ) from error
    return policy


def _self_test(policy: Pi05Policy) -> None:
    """Encode grey images and sample once.

    Raises:
        PolicyError: the chunk is not finite, or far outside what the statistics cover.
    """
    spec = policy.spec
    grey = np.full((*spec.image_size, 3), 127, dtype=np.uint8)
    observation = Observation(
        frames={camera: CameraFrame(grey, captured_ns=0) for camera in spec.cameras},
        q=np.array(_HOME),
        dq=np.zeros(7),
        gripper=0.0,
        T_base_tcp=np.eye(4),
        instruction="pick up the cup",
        captured_ns=0,
        extra={"libero_state": np.zeros(8)},
    )
    context = policy.encode(observation)
    chunk = policy.denoise(context, gaussian((1, spec.horizon, spec.width), seed=0))[..., : spec.action_space.size]
    # Offsets are presented as absolute joints; what the network itself gave is judged.
    shift: Tensor | None = context.payload.shift
    own = chunk if shift is None else chunk - shift.to(chunk.device)[: spec.action_space.size]
    largest = float(own.abs().max())
    if not largest <= FARTHEST:
        raise PolicyError(
            f"Policy '{spec.name}' samples actions {largest:.3g} times as large as its statistics' range, expected at most {FARTHEST:g}. "
            f"Its weights do not belong to a working pi0.5: download them again, or use an earlier checkpoint."
        )
