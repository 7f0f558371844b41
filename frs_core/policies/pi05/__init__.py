"""pi0.5 on PyTorch alone, from safetensors weights, built for steering. Importing this package imports neither."""

from typing import TYPE_CHECKING

from frs_core.policies.pi05.presets import PRESETS, Preset

if TYPE_CHECKING:
    from frs_core.policies.pi05.checkpoint import inspect_checkpoint
    from frs_core.policies.pi05.checkpoint_facts import Checkpoint
    from frs_core.policies.pi05.loading import load
    from frs_core.policies.pi05.policy import Pi05Policy

__all__ = ["PRESETS", "Checkpoint", "Pi05Policy", "Preset", "inspect_checkpoint", "load"]


def __getattr__(name: str) -> object:
    """Import what needs PyTorch when it is asked for."""
    from importlib import import_module

    homes = {
        "Checkpoint": "checkpoint_facts",
        "inspect_checkpoint": "checkpoint",
        "load": "loading",
        "Pi05Policy": "policy",
    }
    if name in homes:
        return getattr(import_module(f"{__name__}.{homes[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
