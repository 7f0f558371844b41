"""The sizes of a pi0.5 network, read from the shapes of its weights, and the complete list of weights it must have.

Problem: most loaders accept a checkpoint with a missing or misnamed tensor, and the robot then moves at random. Idea:
everything the network needs is a table name -> shape, computed from a handful of sizes; a checkpoint is usable exactly when its
header matches the table. Only the header is read, so a 7 GB file is checked in milliseconds.

Example: 18 layers of `layers.N.self_attn.k_proj.weight` with shape (256, 2048) mean depth 18, head size 256, width 2048.
Names are those of openpi's converter; LeRobot uses the same with the prefix `model.`. Any thread.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from frs_core.errors import ConfigError

Shapes = Mapping[str, tuple[int, ...]]
"""Tensor name -> shape, the prefix `model.` removed."""

VISION_HEADS = 16
"""Attention heads of SigLIP So400m; the one size that shapes do not determine. Source: So400m/14 of the SigLIP release."""

STEPS = 10
"""Euler steps of the stock sampler. Source: openpi models/pi0.py, sample_actions."""

_ROOT = "paligemma_with_expert."
VISION = f"{_ROOT}paligemma.model.vision_tower.vision_model."
PROJECTOR = f"{_ROOT}paligemma.model.multi_modal_projector.linear."
TEXT = f"{_ROOT}paligemma.model.language_model."
EXPERT = f"{_ROOT}gemma_expert.model."
EMBEDDING = f"{TEXT}embed_tokens.weight"
TIED_EMBEDDING = f"{_ROOT}paligemma.lm_head.weight"
"""The same tensor as `EMBEDDING`; converters keep one of the two names."""

_UNUSED = re.compile(r"lm_head\.weight$|vision_model\.head\.|rotary_emb\.inv_freq$|position_ids$")


@dataclass(frozen=True, slots=True)
class VisionSize:
    """SigLIP: patches of `patch` pixels, `depth` layers."""

    width: int
    depth: int
    mlp: int
    image: int
    patch: int

    @property
    def tokens(self) -> int:
        """Tokens per image (256 at 224 pixels)."""
        return (self.image // self.patch) ** 2


@dataclass(frozen=True, slots=True)
class GemmaSize:
    """One Gemma stack with a single key/value head."""

    width: int
    depth: int
    mlp: int
    heads: int
    head_dim: int


@dataclass(frozen=True, slots=True)
class ModelSize:
    """The whole network."""

    vision: VisionSize
    text: GemmaSize
    expert: GemmaSize
    vocabulary: int
    width: int
    """A on the flow side (32)."""

    def parameters(self) -> int:
        """Return the number of weights that are used."""
        return sum(math.prod(shape) for shape in expected_shapes(self).values())


FULL = ModelSize(
    vision=VisionSize(width=1152, depth=27, mlp=4304, image=224, patch=14),
    text=GemmaSize(width=2048, depth=18, mlp=16384, heads=8, head_dim=256),
    expert=GemmaSize(width=1024, depth=18, mlp=4096, heads=8, head_dim=256),
    vocabulary=257152,
    width=32,
)
"""The released pi0.5: SigLIP So400m/14, Gemma 2B, Gemma 300M. Source: openpi models/gemma.py, models/siglip.py."""


def size_of(shapes: Shapes) -> ModelSize:
    """Return the sizes that a checkpoint's shapes determine.

    Args:
        shapes: names without the prefix `model.`.
    Raises:
        ConfigError: a tensor that determines a size is missing; this is not pi0.5.
    """
    if empty := [name for name, shape in shapes.items() if 0 in shape and not _UNUSED.search(name)]:
        raise ConfigError(
            f"Tensor '{empty[0]}' has shape {shapes[empty[0]]} and so no weights. Download the checkpoint again."
        )
    try:
        vision_width, channels, patch, _ = shapes[f"{VISION}embeddings.patch_embedding.weight"]
        positions = shapes[f"{VISION}embeddings.position_embedding.weight"][0]
        vocabulary = shapes[EMBEDDING if EMBEDDING in shapes else TIED_EMBEDDING][0]
        vision = VisionSize(
            width=vision_width,
            depth=_depth(shapes, f"{VISION}encoder.layers."),
            mlp=shapes[f"{VISION}encoder.layers.0.mlp.fc1.weight"][0],
            image=math.isqrt(positions) * patch,
            patch=patch,
        )
        text, expert = _gemma_size(shapes, TEXT), _gemma_size(shapes, EXPERT)
        width = shapes["action_in_proj.weight"][1]
    except (KeyError, ValueError) as e:
        raise ConfigError(
            f"These weights are not pi0.5: {e} is missing or has another rank. Got {len(shapes)} tensors, expected names "
            f"like '{TEXT}layers.0.self_attn.q_proj.weight'. Convert openpi's checkpoint with `frs policy fetch`."
        ) from e
    if channels != 3:
        raise ConfigError(f"The vision tower takes {channels} channels, pi0.5 takes 3 (RGB). Use a pi0.5 checkpoint.")
    return ModelSize(vision=vision, text=text, expert=expert, vocabulary=vocabulary, width=width)


def expected_shapes(size: ModelSize) -> dict[str, tuple[int, ...]]:
    """Return every tensor the network reads, with its shape."""
    v, width = size.vision, size.expert.width
    table: dict[str, tuple[int, ...]] = {
        f"{VISION}embeddings.patch_embedding.weight": (v.width, 3, v.patch, v.patch),
        f"{VISION}embeddings.patch_embedding.bias": (v.width,),
        f"{VISION}embeddings.position_embedding.weight": (v.tokens, v.width),
        f"{VISION}post_layernorm.weight": (v.width,),
        f"{VISION}post_layernorm.bias": (v.width,),
        f"{PROJECTOR}weight": (size.text.width, v.width),
        f"{PROJECTOR}bias": (size.text.width,),
        EMBEDDING: (size.vocabulary, size.text.width),
        f"{TEXT}norm.weight": (size.text.width,),
        f"{EXPERT}norm.dense.weight": (3 * width, width),
        f"{EXPERT}norm.dense.bias": (3 * width,),
    }
    for i in range(v.depth):
        table |= _vision_layer(f"{VISION}encoder.layers.{i}.", v)
    for i in range(size.text.depth):
        table |= _gemma_layer(f"{TEXT}layers.{i}.", size.text)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            table[f"{TEXT}layers.{i}.{norm}.weight"] = (size.text.width,)
    for i in range(size.expert.depth):
        table |= _gemma_layer(f"{EXPERT}layers.{i}.", size.expert)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            table[f"{EXPERT}layers.{i}.{norm}.dense.weight"] = (3 * width, width)
            table[f"{EXPERT}layers.{i}.{norm}.dense.bias"] = (3 * width,)
    for name, out, into in (
        ("action_in_proj", width, size.width),
        ("action_out_proj", size.width, width),
        ("time_mlp_in", width, width),
        ("time_mlp_out", width, width),
    ):
        table |= {f"{name}.weight": (out, into), f"{name}.bias": (out,)}
    return table


def problems_of(shapes: Shapes, size: ModelSize) -> list[str]:
    """Return what is wrong with a checkpoint's tensors, one sentence each; empty when complete.

    Args:
        shapes: names without the prefix `model.`.
        size: of `size_of`, or the expected one.
    """
    table, found = expected_shapes(size), dict(shapes)
    if EMBEDDING not in found and TIED_EMBEDDING in found:
        found[EMBEDDING] = found[TIED_EMBEDDING]
    problems = [f"Tensor '{name}' is missing (shape {shape})." for name, shape in table.items() if name not in found]
    problems += [
        f"Tensor '{name}' has shape {found[name]}, expected {shape}."
        for name, shape in table.items()
        if name in found and found[name] != shape
    ]
    problems += [
        f"Tensor '{name}' {shape} is not part of pi0.5."
        for name, shape in found.items()
        if name not in table and not _UNUSED.search(name)
    ]
    if size.text.depth != size.expert.depth or size.text.head_dim != size.expert.head_dim:
        problems.append(
            f"The expert has {size.expert.depth} layers of head size {size.expert.head_dim}, the prefix "
            f"{size.text.depth} of {size.text.head_dim}; they must agree to share keys and values."
        )
    return problems


def _depth(shapes: Shapes, prefix: str) -> int:
    """Return the number of layers; one that is missing is found by its name later. Raises ValueError where they are not numbered from 0."""
    numbers = {int(name[len(prefix) :].split(".")[0]) for name in shapes if name.startswith(prefix)}
    depth = max(numbers, default=-1) + 1
    if not numbers or min(numbers) < 0 or depth > len(shapes):
        raise ValueError(f"'{prefix}' numbered from 0, {len(numbers)} of them up to {depth - 1},")
    return depth


def _gemma_size(shapes: Shapes, prefix: str) -> GemmaSize:
    head_dim, width = shapes[f"{prefix}layers.0.self_attn.k_proj.weight"]
    return GemmaSize(
        width=width,
        depth=_depth(shapes, f"{prefix}layers."),
        mlp=shapes[f"{prefix}layers.0.mlp.gate_proj.weight"][0],
        heads=shapes[f"{prefix}layers.0.self_attn.q_proj.weight"][0] // head_dim,
        head_dim=head_dim,
    )


def _gemma_layer(prefix: str, size: GemmaSize) -> dict[str, tuple[int, ...]]:
    inner = size.heads * size.head_dim
    return {
        f"{prefix}self_attn.q_proj.weight": (inner, size.width),
        f"{prefix}self_attn.k_proj.weight": (size.head_dim, size.width),
        f"{prefix}self_attn.v_proj.weight": (size.head_dim, size.width),
        f"{prefix}self_attn.o_proj.weight": (size.width, inner),
        f"{prefix}mlp.gate_proj.weight": (size.mlp, size.width),
        f"{prefix}mlp.up_proj.weight": (size.mlp, size.width),
        f"{prefix}mlp.down_proj.weight": (size.width, size.mlp),
    }


def _vision_layer(prefix: str, size: VisionSize) -> dict[str, tuple[int, ...]]:
    table: dict[str, tuple[int, ...]] = {}
    for name, out, into in (
        ("self_attn.q_proj", size.width, size.width),
        ("self_attn.k_proj", size.width, size.width),
        ("self_attn.v_proj", size.width, size.width),
        ("self_attn.out_proj", size.width, size.width),
        ("mlp.fc1", size.mlp, size.width),
        ("mlp.fc2", size.width, size.mlp),
    ):
        table |= {f"{prefix}{name}.weight": (out, into), f"{prefix}{name}.bias": (out,)}
    for norm in ("layer_norm1", "layer_norm2"):
        table |= {f"{prefix}{norm}.weight": (size.width,), f"{prefix}{norm}.bias": (size.width,)}
    return table
