"""pi0.5 on PyTorch alone, from safetensors weights, built for steering."""

from frs_core.policies.pi05.checkpoint import Checkpoint, inspect_checkpoint
from frs_core.policies.pi05.loading import load
from frs_core.policies.pi05.policy import Pi05Policy
from frs_core.policies.pi05.presets import PRESETS, Preset

__all__ = ["PRESETS", "Checkpoint", "Pi05Policy", "Preset", "inspect_checkpoint", "load"]
