"""PyTorch where it is installed; without it, names for signatures and one sentence for whoever needs more.

Problem: a cockpit whose policy runs on another machine computes nothing itself, and PyTorch is most of an installation. Idea: what such
a cockpit imports takes `torch` and `Tensor` from here. Without PyTorch the first use of `torch`, not the import, raises ConfigError.

Example: `torch.zeros(2)` raises "This needs PyTorch, which the thin cockpit does without. …". Any thread.
"""

from typing import TYPE_CHECKING

from frs_core.errors import ConfigError, why_left_out

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    try:
        import torch
        from torch import Tensor
    except ImportError:

        class Tensor:
            """Stands for PyTorch's class in signatures."""

        class _Absent:
            def __getattr__(self, name: str) -> object:
                if name.startswith("__"):
                    raise AttributeError(name)
                raise ConfigError(why_left_out("torch"))

        torch = _Absent()

__all__ = ["Tensor", "torch"]
