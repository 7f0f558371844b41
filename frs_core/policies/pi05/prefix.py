"""The Gemma prefix: images and prompt become keys and values, once per observation.

Problem: stock loaders run 968 tokens, 40 % of them an absent camera and prompt padding, which are then masked. Idea: leave
them out. Positions count valid tokens only, so the result is the same and no mask is needed.

Example: two images and a 60-token prompt give 572 tokens; 18 layers x 572 keys and values of 256 numbers are all that
the twenty steps of a fan need (10.5 MB in bfloat16). Runs on the inference worker.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from frs_core.policies.linear import linear
from frs_core.policies.pi05.layers import attend, feed_forward, read_layer, rms, rotate, rotation
from frs_core.policies.pi05.sizes import EMBEDDING, TEXT, ModelSize
from frs_core.policies.pi05.weights import WeightSource


@dataclass(frozen=True, slots=True, eq=False)
class PrefixCache:
    """An encoded observation, as the expert attends to it."""

    keys: Float[Tensor, "L P d"]
    """Rotated keys of every layer."""
    values: Float[Tensor, "L P d"]

    @property
    def length(self) -> int:
        """P, tokens of the prefix."""
        return self.keys.shape[1]


class Prefix:
    """The language model that reads images and prompt."""

    def __init__(self, source: WeightSource, size: ModelSize) -> None:
        """Read the weights.

        Args:
            source: where tensors come from.
            size: sizes of the network.
        """
        self._size = size.text
        self._embedding = source.get(EMBEDDING)
        self._layers = [read_layer(source, f"{TEXT}layers.{i}.") for i in range(size.text.depth)]
        names = ("input_layernorm", "post_attention_layernorm")
        self._norms = [
            tuple(1.0 + source.get(f"{TEXT}layers.{i}.{n}.weight", dtype=torch.float32) for n in names)
            for i in range(size.text.depth)
        ]
        self._last_norm = 1.0 + source.get(f"{TEXT}norm.weight", dtype=torch.float32)

    def embed(self, tokens: Int[Tensor, " T"]) -> Float[Tensor, "T D"]:
        """Return the embeddings of prompt tokens, scaled as Gemma scales them."""
        return F.embedding(tokens, self._embedding) * math.sqrt(self._size.width)

    def __call__(self, x: Float[Tensor, "P D"]) -> tuple[Float[Tensor, "P D"], PrefixCache]:
        """Return the last hidden states (normed) and the cache of keys and values.

        Args:
            x: image tokens, then prompt embeddings, without padding.
        """
        heads, d = self._size.heads, self._size.head_dim
        cos, sin = rotation(torch.arange(x.shape[0], device=x.device), d)
        keys, values = [], []
        for layer, (norm1, norm2) in zip(self._layers, self._norms, strict=True):
            qkv = linear((rms(x) * norm1).to(x.dtype), layer.qkv).view(x.shape[0], heads + 2, d)
            turned = rotate(qkv[:, : heads + 1], cos, sin)
            k, v = turned[:, heads].contiguous(), qkv[:, heads + 1].contiguous()
            x = x + linear(attend(turned[:, :heads], k, v, None), layer.out)
            x = x + feed_forward(layer, (rms(x) * norm2).to(x.dtype))
            keys.append(k)
            values.append(v)
        hidden = (rms(x) * self._last_norm).to(x.dtype)
        return hidden, PrefixCache(torch.stack(keys), torch.stack(values))
