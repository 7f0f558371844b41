"""The few operations that both Gemma stacks share: norm, rotation, attention, gated feed-forward.

Problem: the prefix (2 billion weights, hundreds of tokens, once) and the expert (0.3 billion, a few rows, twenty times)
run the same arithmetic with different norms around it. Idea: plain functions on tensors and one small record of a layer's
matrices, with queries, keys and values (and gate and up) stacked so that each is one multiplication.

Sums of squares, rotations and softmax run in float32 whatever the weights' type. Runs on the inference worker.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from frs_core.policies.linear import linear
from frs_core.policies.pi05.weights import WeightSource

EPS = 1e-6
"""Added to mean squares in every norm. Source: Gemma and SigLIP configurations."""

ROPE_BASE = 10_000.0
"""Longest wavelength of the rotary embedding / 2 pi. Source: Gemma configuration."""


@dataclass(frozen=True, slots=True, eq=False)
class LayerWeights:
    """The matrices of one Gemma layer, without its norms."""

    qkv: Float[Tensor, "qkv D"]
    out: Float[Tensor, "D q"]
    gate_up: Float[Tensor, "gate_up D"]
    down: Float[Tensor, "D m"]


def read_layer(source: WeightSource, prefix: str) -> LayerWeights:
    """Return one layer's matrices, stacked."""
    attention, mlp = f"{prefix}self_attn.", f"{prefix}mlp."
    return LayerWeights(
        qkv=source.stack(*(f"{attention}{n}_proj.weight" for n in "qkv")),
        out=source.get(f"{attention}o_proj.weight"),
        gate_up=source.stack(f"{mlp}gate_proj.weight", f"{mlp}up_proj.weight"),
        down=source.get(f"{mlp}down_proj.weight"),
    )


def rms(x: Float[Tensor, "*n D"]) -> Float[Tensor, "*n D"]:
    """Return x over its root mean square, float32."""
    x = x.float()
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS)


def rotation(
    positions: Int[Tensor, " n"], head_dim: int
) -> tuple[Float[Tensor, "n 1 half"], Float[Tensor, "n 1 half"]]:
    """Return cosines and sines of the rotary embedding, float32.

    Args:
        positions: index of each token in the sequence.
        head_dim: size of a head; pairs are (i, i + head_dim / 2).
    """
    half = head_dim // 2
    exponent = torch.arange(half, dtype=torch.float32, device=positions.device) * 2.0 / head_dim
    angle = positions.float()[:, None] * (1.0 / ROPE_BASE**exponent)
    return angle.cos()[:, None], angle.sin()[:, None]


def rotate(
    x: Float[Tensor, "*n heads d"], cos: Float[Tensor, "*m 1 half"], sin: Float[Tensor, "*m 1 half"]
) -> Float[Tensor, "*n heads d"]:
    """Return heads rotated by their positions, in the type of `x`."""
    first, second = x.float().chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).to(x.dtype)


def attend(
    q: Float[Tensor, "n heads d"],
    k: Float[Tensor, "s d"],
    v: Float[Tensor, "s d"],
    mask: Float[Tensor, "n s"] | None,
) -> Float[Tensor, "n heads*d"]:
    """Return attention of all rows' heads over one shared set of keys and values.

    Args:
        q: rotated queries; rows of all candidates in one axis.
        k: rotated keys.
        v: values.
        mask: added to the scores; None = everything is visible.
    """
    heads = q.shape[1]
    shared = (1, heads, *k.shape)
    mixed = F.scaled_dot_product_attention(
        q.transpose(0, 1)[None],
        k.expand(shared),
        v.expand(shared),
        attn_mask=mask,
        scale=1.0 / math.sqrt(q.shape[-1]),
    )
    return mixed[0].transpose(0, 1).reshape(q.shape[0], -1)


def feed_forward(layer: LayerWeights, x: Float[Tensor, "*n D"]) -> Float[Tensor, "*n D"]:
    """Return the gated feed-forward block: down(gelu(gate x) * up x)."""
    gate, up = linear(x, layer.gate_up).chunk(2, dim=-1)
    return linear(F.gelu(gate, approximate="tanh") * up, layer.down)
