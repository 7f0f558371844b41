"""SigLIP: an image becomes 256 tokens for the language model.

Example: two images [2, 3, 224, 224] in -1..1 become [2, 256, 2048]. Runs on the inference worker, once per observation.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from frs_core.policies.linear import linear
from frs_core.policies.pi05.layers import EPS
from frs_core.policies.pi05.sizes import PROJECTOR, VISION, VISION_HEADS, ModelSize
from frs_core.policies.pi05.weights import WeightSource


@dataclass(frozen=True, slots=True, eq=False)
class _Affine:
    weight: Tensor
    bias: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    norm1: _Affine
    qkv: _Affine
    out: _Affine
    norm2: _Affine
    fc1: _Affine
    fc2: _Affine


class Vision:
    """The vision tower with its projector."""

    def __init__(self, source: WeightSource, size: ModelSize) -> None:
        """Read the weights.

        Args:
            source: where tensors come from.
            size: sizes of the network.
        """
        self._patch = size.vision.patch
        self._embed = _affine(source, f"{VISION}embeddings.patch_embedding")
        self._positions = source.get(f"{VISION}embeddings.position_embedding.weight")
        self._layers = [_read_layer(source, f"{VISION}encoder.layers.{i}.") for i in range(size.vision.depth)]
        self._norm = _affine(source, f"{VISION}post_layernorm")
        self._project = _Affine(source.get(f"{PROJECTOR}weight"), source.get(f"{PROJECTOR}bias"))

    def __call__(self, images: Float[Tensor, "N 3 S S"]) -> Float[Tensor, "N P D"]:
        """Return each image's tokens in the language model's width.

        Args:
            images: RGB in -1..1.
        """
        # A product, not a convolution: those round float32 to TF32 on a GPU.
        patches = rearrange(images, "n c (h p) (w q) -> n (h w) (c p q)", p=self._patch, q=self._patch)
        weight = self._embed.weight
        x = linear(patches.to(weight.dtype), weight.flatten(1), self._embed.bias) + self._positions
        for layer in self._layers:
            x = x + _attention(layer, _norm(x, layer.norm1))
            hidden = F.gelu(_linear(_norm(x, layer.norm2), layer.fc1), approximate="tanh")
            x = x + _linear(hidden, layer.fc2)
        return _linear(_norm(x, self._norm), self._project)


def _affine(source: WeightSource, name: str) -> _Affine:
    return _Affine(source.get(f"{name}.weight"), source.get(f"{name}.bias"))


def _read_layer(source: WeightSource, prefix: str) -> _Layer:
    attention = f"{prefix}self_attn."
    return _Layer(
        norm1=_affine(source, f"{prefix}layer_norm1"),
        qkv=_Affine(
            source.stack(*(f"{attention}{n}_proj.weight" for n in "qkv")),
            source.stack(*(f"{attention}{n}_proj.bias" for n in "qkv")),
        ),
        out=_affine(source, f"{attention}out_proj"),
        norm2=_affine(source, f"{prefix}layer_norm2"),
        fc1=_affine(source, f"{prefix}mlp.fc1"),
        fc2=_affine(source, f"{prefix}mlp.fc2"),
    )


def _linear(x: Tensor, affine: _Affine) -> Tensor:
    return linear(x, affine.weight, affine.bias)


def _norm(x: Tensor, affine: _Affine) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], affine.weight, affine.bias, EPS)


def _attention(layer: _Layer, x: Tensor) -> Tensor:
    qkv = rearrange(_linear(x, layer.qkv), "n p (three h d) -> three n h p d", three=3, h=VISION_HEADS)
    mixed = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
    return _linear(rearrange(mixed, "n h p d -> n p (h d)"), layer.out)
