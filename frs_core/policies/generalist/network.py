"""The network of the small generalists: vision that points at named things, a small language encoder, a flow head.

Images become one *slot* per known thing and camera pair: where a learned query for "mug" finds it in each image (a
softmax over a 28 x 28 grid and "not there"), what the features look like there, and where it is relative to the tool (`places.py`).
Words, slots and proprioception become a context vector of 512 numbers, computed once per observation. The head is a residual MLP
over the whole chunk, modulated by
context and flow time; the modulation is shared by all rows of a batch, so that a fan costs little more than one sample.
Source of the parts: pointing as co-training follows pi0.5's object localisation; adaptive layer norm follows DiT.
"""

import math

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from frs_core.policies.generalist.design import ACTION_SIZE, HORIZON, PROPRIO_SIZE, Design
from frs_core.policies.generalist.places import PLACE, Places
from frs_core.policies.generalist.vocabulary import PAD, Vocabulary
from frs_core.policies.linear import Linear

GRID = 28
POOLED = 32
GLOBAL = 48
SLOT_IN = 3 + POOLED
SLOT = 64
FEATURES = 512
NAMED = 2
"""Objects of an instruction whose places learners get."""
WHERE = NAMED * PLACE


def vision_size(design: Design) -> int:
    """Return Z, the numbers of an observation's vision vector."""
    return len(design.cameras) * (len(design.concepts) * SLOT_IN + GLOBAL)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x + self.body(x))


def _down(a: int, b: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(a, b, kernel, stride=2, padding=kernel // 2, bias=False), nn.BatchNorm2d(b), nn.SiLU()
    )


class CameraEncoder(nn.Module):
    """Looks for every concept in one camera's image."""

    coordinates: Tensor
    grid: Tensor

    def __init__(self, concepts: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(_down(5, 24, 5), _down(24, 40, 3))
        self.fine = _Residual(40)
        self.coarse = nn.Sequential(_down(40, 80, 3), _Residual(80), _Residual(80))
        self.lateral = nn.Conv2d(40, 64, 1)
        self.up = nn.Conv2d(80, 64, 1)
        self.merge = nn.Sequential(nn.SiLU(), nn.Conv2d(64, 64, 3, padding=1), nn.SiLU())
        self.query = nn.Parameter(torch.randn(concepts, 64) * 0.2)
        self.absent = nn.Parameter(torch.zeros(concepts))
        self.value = nn.Conv2d(64, POOLED, 1)
        self.overview = Linear(80, GLOBAL)
        ticks = (torch.arange(112) + 0.5) / 112 * 2 - 1
        self.register_buffer("coordinates", torch.stack(torch.meshgrid(ticks, ticks, indexing="xy")), persistent=False)
        cells = (torch.arange(GRID) + 0.5) / GRID
        grid = torch.stack(torch.meshgrid(cells, cells, indexing="xy"), -1).reshape(-1, 2)
        self.register_buffer("grid", grid, persistent=False)

    def forward(self, image: Float[Tensor, "N 3 112 112"]) -> tuple[Tensor, Tensor, Tensor]:
        """Return slots [N, C, 3 + POOLED] (u, v, presence, pooled), overview [N, GLOBAL], and log-heatmap [N, C, 785]."""
        n = image.shape[0]
        x = torch.cat([image, self.coordinates.to(image.dtype).expand(n, -1, -1, -1)], dim=1)
        fine = self.fine(self.stem(x.contiguous(memory_format=torch.channels_last)))
        coarse = self.coarse(fine)
        up = F.interpolate(self.up(coarse), scale_factor=2, mode="bilinear", align_corners=False)
        features = self.merge(self.lateral(fine) + up)
        logits = torch.einsum("nchw,kc->nkhw", features, self.query.to(features.dtype)).flatten(2).float()
        absent = self.absent.expand(n, -1)[..., None]
        log_heat = torch.log_softmax(torch.cat([logits, absent], dim=-1), dim=-1)
        heat = log_heat[..., :-1].exp()
        presence = heat.sum(-1, keepdim=True)
        attention = torch.softmax(logits, dim=-1)
        uv = attention @ self.grid
        pooled = attention @ self.value(features).flatten(2).transpose(1, 2).float()
        slots = torch.cat([uv * 2 - 1, presence, pooled], dim=-1)
        return slots, F.silu(self.overview(coarse.mean(dim=(2, 3)).float())), log_heat


class Vision(nn.Module):
    """All cameras, each with its own encoder."""

    def __init__(self, design: Design) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict({c: CameraEncoder(len(design.concepts)) for c in design.cameras})

    def forward(self, images: dict[str, Tensor]) -> tuple[Float[Tensor, "N Z"], dict[str, Tensor]]:
        """Return one vector per observation, and each camera's log-heatmaps."""
        slots, overviews, heat = [], [], {}
        for camera, encoder in self.encoders.items():
            s, o, heat[camera] = encoder(images[camera])
            slots.append(s)
            overviews.append(o)
        return torch.cat([torch.stack(slots, 2).flatten(1), *overviews], dim=1), heat


class Language(nn.Module):
    """One vector per instruction."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.words = nn.Embedding(len(vocabulary), 64, padding_idx=PAD)
        self.positions = nn.Parameter(torch.randn(vocabulary.longest, 64) * 0.02)
        self.start = nn.Parameter(torch.randn(1, 1, 64) * 0.02)
        self.layer = nn.TransformerEncoderLayer(
            64, 4, 128, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )

    def forward(self, ids: Int[Tensor, "N L"]) -> Float[Tensor, "N 64"]:
        """Return the sentence's vector, read at a start token."""
        n = ids.shape[0]
        x = torch.cat([self.start.expand(n, -1, -1), self.words(ids) + self.positions], dim=1)
        is_pad = torch.cat([torch.zeros(n, 1, dtype=torch.bool, device=ids.device), ids == PAD], dim=1)
        return self.layer(x, src_key_padding_mask=is_pad)[:, 0]


class ContextEncoder(nn.Module):
    """Vision vector, words and proprioception -> the features everything else is computed from."""

    proprio_mean: Tensor
    proprio_std: Tensor

    def __init__(self, design: Design) -> None:
        super().__init__()
        self._vocabulary, self._overview = design.vocabulary, len(design.cameras) * GLOBAL
        concepts, cameras = len(design.concepts), len(design.cameras)
        self.language = Language(design.vocabulary)
        self.places = Places(design)
        self.slot = nn.Sequential(Linear(cameras * SLOT_IN + PLACE, SLOT), nn.SiLU(), Linear(SLOT, SLOT))
        self.names = nn.Parameter(torch.randn(concepts, SLOT) * 0.1)
        self.asked = Linear(64, 2 * SLOT)
        self.proprio = nn.Sequential(Linear(PROPRIO_SIZE, 64), nn.SiLU())
        wide = concepts * SLOT + 64 + 2 * (SLOT + PLACE) + 64 + cameras * GLOBAL
        self.mix = nn.Sequential(
            Linear(wide, 768),
            nn.SiLU(),
            nn.LayerNorm(768),
            Linear(768, FEATURES),
            nn.SiLU(),
            nn.LayerNorm(FEATURES),
        )
        self.register_buffer("proprio_mean", torch.zeros(PROPRIO_SIZE))
        self.register_buffer("proprio_std", torch.ones(PROPRIO_SIZE))

    def forward(
        self,
        vision: Float[Tensor, "N Z"],
        ids: Int[Tensor, "N L"],
        proprio: Float[Tensor, "N 18"],
        mounts: Float[Tensor, "N C 3 4"] | None = None,
    ) -> Float[Tensor, "N F"]:
        """Return the context features; `mounts` as in `Places.forward`."""
        return self._mixed(vision, ids, proprio, mounts)[0]

    def describe(
        self,
        vision: Float[Tensor, "N Z"],
        ids: Int[Tensor, "N L"],
        proprio: Float[Tensor, "N 18"],
        mounts: Float[Tensor, "N C 3 4"] | None = None,
    ) -> tuple[Float[Tensor, "N F"], Float[Tensor, "N W"]]:
        """Return the context features, and the places of the first two objects that the words name (`Places.forward`).

        The network attends to places anyway; a small learner on top of it needs them plainly. It gets those of the nouns, looked
        up, because attention is learned for the combinations of the demonstrations only.
        """
        features, places = self._mixed(vision, ids, proprio, mounts)
        return features, (self._vocabulary.named(ids, NAMED) @ places).flatten(1)

    def _mixed(
        self,
        vision: Float[Tensor, "N Z"],
        ids: Int[Tensor, "N L"],
        proprio: Float[Tensor, "N 18"],
        mounts: Float[Tensor, "N C 3 4"] | None = None,
    ) -> tuple[Float[Tensor, "N F"], Float[Tensor, "N K P"]]:
        """Return the context features, and the place of every object."""
        raw, overview = self._slots(vision)
        seen = rearrange(raw, "n k (c x) -> n k c x", x=SLOT_IN)[..., :3]
        places = self.places(seen, proprio, mounts)
        slots = F.silu(self.slot(torch.cat([raw, places], dim=-1)) + self.names)
        sentence = self.language(ids)
        p = self.proprio((proprio - self.proprio_mean) / self.proprio_std)
        asked = self._attention(sentence) @ torch.cat([slots, places], dim=-1)
        parts = [slots.flatten(1), sentence, asked.flatten(1), p, overview]
        return self.mix(torch.cat(parts, dim=1)), places

    def _slots(self, vision: Float[Tensor, "N Z"]) -> tuple[Float[Tensor, "N K S"], Float[Tensor, "N O"]]:
        """Return the vision vector's slots per known thing, and the images' overviews."""
        concepts = len(self.names)
        count = vision.shape[1] - self._overview
        return rearrange(vision[:, :count], "n (k x) -> n k x", k=concepts), vision[:, count:]

    def _attention(self, sentence: Float[Tensor, "N 64"]) -> Float[Tensor, "N 2 K"]:
        asked = rearrange(self.asked(sentence), "n (a s) -> n a s", a=2)
        return torch.softmax(asked @ self.names.T / math.sqrt(SLOT) * 10.0, dim=-1)


class VelocityHead(nn.Module):
    """Velocity of a whole chunk, given features and one flow time per group of rows."""

    frequencies: Tensor

    def __init__(self, *, width: int = 512, hidden: int = 1024, blocks: int = 5) -> None:
        super().__init__()
        self.into = Linear(HORIZON * ACTION_SIZE, width)
        self.context = Linear(FEATURES, width)
        self.time = nn.Sequential(Linear(64, width), nn.SiLU(), Linear(width, width))
        self.modulation = nn.ModuleList(Linear(width, 3 * width) for _ in range(blocks))
        self.norms = nn.ModuleList(nn.LayerNorm(width, elementwise_affine=False) for _ in range(blocks))
        self.mlps = nn.ModuleList(
            nn.Sequential(Linear(width, hidden), nn.GELU(approximate="tanh"), Linear(hidden, width))
            for _ in range(blocks)
        )
        self.out_norm = nn.LayerNorm(width)
        self.out = Linear(width, HORIZON * ACTION_SIZE)
        for layer in (*(m for m in self.modulation if isinstance(m, nn.Linear)), self.out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.register_buffer("frequencies", torch.exp(torch.linspace(0, math.log(1000.0), 32)), persistent=False)

    def condition(self, features: Float[Tensor, "N F"], t: Float[Tensor, " N"]) -> list[Tensor]:
        """Return every block's modulation for features and times; rows of a chunk batch may share it."""
        angle = t[:, None] * self.frequencies
        code = F.silu(self.context(features) + self.time(torch.cat([angle.sin(), angle.cos()], dim=-1)))
        return [layer(code) for layer in self.modulation]

    def forward(self, x: Float[Tensor, "*N H A"], modulations: list[Tensor]) -> Float[Tensor, "*N H A"]:
        """Return the velocity; modulations have as many rows as x, or one for all."""
        h = self.into(x.flatten(-2))
        for norm, mlp, modulation in zip(self.norms, self.mlps, modulations, strict=True):
            scale, shift, gate = modulation.chunk(3, dim=-1)
            h = h + (1 + gate) * mlp(norm(h) * (1 + scale) + shift)
        return self.out(self.out_norm(h)).view_as(x)


class GeneralistNet(nn.Module):
    """Vision, context and head."""

    def __init__(self, design: Design) -> None:
        super().__init__()
        self.design = design
        self.vision = Vision(design)
        self.context = ContextEncoder(design)
        self.head = VelocityHead()
