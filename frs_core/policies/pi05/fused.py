"""The operations between the expert's matrix multiplications, as four functions that a GPU runs as one kernel each.

Problem: a layer's norms, rotations and gates are some forty small operations; twenty steps of eighteen layers make fifteen
thousand kernels, and even recorded each costs about 2 microseconds. Idea: the four places between multiplications are plain
functions; on a GPU torch.compile fuses each into one or two kernels. Where compiling is not possible (no Triton, no
compiler) the plain functions do the same arithmetic.

Example: `Fused.plain().geglu(x)` and `Fused.compiled().geglu(x)` are equal up to rounding. Runs on the inference worker.
"""

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from frs_core.policies.pi05.layers import rms, rotate

_log = logging.getLogger(__name__)


def modulate(h: Float[Tensor, "n D"], row: Float[Tensor, "3 D"]) -> Float[Tensor, "n D"]:
    """Return the adaptive norm of `h`; `row` holds 1 + scale, shift and gate."""
    return (rms(h) * row[0] + row[1]).to(h.dtype)


def add_and_modulate(
    h: Float[Tensor, "n D"], y: Float[Tensor, "n D"], row: Float[Tensor, "3 D"], following: Float[Tensor, "3 D"]
) -> tuple[Float[Tensor, "n D"], Float[Tensor, "n D"]]:
    """Return h + gate * y with the gate of `row`, and its adaptive norm by the `following` row."""
    h = h + y * row[2].to(h.dtype)
    return h, modulate(h, following)


def turn(
    qkv: Float[Tensor, "n rows d"], cos: Float[Tensor, "n 1 half"], sin: Float[Tensor, "n 1 half"]
) -> tuple[Float[Tensor, "n rows-2 d"], Float[Tensor, "n d"]]:
    """Return rotated queries and keys of stacked queries, keys and values."""
    turned = rotate(qkv[:, :-1], cos, sin)
    return turned[:, :-1], turned[:, -1]


def geglu(gate_up: Float[Tensor, "n gate_up"]) -> Float[Tensor, "n m"]:
    """Return gelu(first half) * second half."""
    gate, up = gate_up.chunk(2, dim=-1)
    return F.gelu(gate, approximate="tanh") * up


@dataclass(frozen=True, slots=True)
class Fused:
    """The four functions, plain or compiled."""

    modulate: Callable[[Tensor, Tensor], Tensor]
    add_and_modulate: Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
    turn: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
    geglu: Callable[[Tensor], Tensor]

    @classmethod
    def plain(cls) -> "Fused":
        """Return the functions uncompiled."""
        return cls(modulate, add_and_modulate, turn, geglu)

    @classmethod
    def compiled(cls) -> "Fused":
        """Return the functions compiled for any number of rows; compiling happens at the first call of each."""
        compiled = functools.partial(torch.compile, dynamic=True)
        return cls(compiled(modulate), compiled(add_and_modulate), compiled(turn), compiled(geglu))

    @classmethod
    def for_device(cls, device: torch.device, dtype: torch.dtype) -> "Fused":
        """Return compiled functions on a GPU where compiling works, else plain ones, with a warning."""
        if device.type != "cuda":
            return cls.plain()
        try:
            fused = cls.compiled()
            with torch.inference_mode():
                fused.check(device, dtype)
        except Exception as error:  # The compiler's errors have no common class below Exception.
            _log.warning("torch.compile does not work here, steering runs unfused and slower: %s", error)
            return cls.plain()
        return fused

    def check(self, device: torch.device, dtype: torch.dtype) -> None:
        """Compare with the plain functions on small tensors.

        Raises:
            RuntimeError: they differ by more than rounding.
        """
        plain = Fused.plain()
        for rows in (3, 8):
            h, y = (torch.randn(rows, 16, device=device).to(dtype) for _ in range(2))
            row = torch.randn(3, 16, device=device)
            qkv = torch.randn(rows, 4, 8, device=device).to(dtype)
            cos, sin = (torch.rand(rows, 1, 4, device=device) for _ in range(2))
            calls = (
                ("modulate", (h, row)),
                ("add_and_modulate", (h, y, row, row)),
                ("turn", (qkv, cos, sin)),
                ("geglu", (h,)),
            )
            for name, arguments in calls:
                got, expected = getattr(self, name)(*arguments), getattr(plain, name)(*arguments)
                pairs = zip(got, expected, strict=True) if isinstance(got, tuple) else [(got, expected)]
                for a, b in pairs:
                    if not torch.allclose(a.float(), b.float(), rtol=2e-2, atol=2e-2):
                        raise RuntimeError(f"compiled '{name}' differs from the plain one")
