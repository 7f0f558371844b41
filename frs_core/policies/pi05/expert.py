"""The action expert: one velocity call for all candidates, in openpi's own time (1 = noise, 0 = action).

Problem: the flow time reaches the network through 37 adaptive norms whose scales, shifts and gates come from 116 million
weights; reading them at every step costs a quarter of a step. Idea: the Euler grid has eleven times, so the modulation of
each is computed once and kept.

Example: 8 candidates [8, 15, 32] at t = 0.3 become [8, 15, 32]. Runs on the inference worker.
"""

import math
from collections import OrderedDict

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from frs_core.policies.linear import linear
from frs_core.policies.pi05.fused import Fused
from frs_core.policies.pi05.layers import attend, read_layer
from frs_core.policies.pi05.layout import Layout
from frs_core.policies.pi05.sizes import EXPERT, ModelSize
from frs_core.policies.pi05.weights import WeightSource

MIN_PERIOD, MAX_PERIOD = 4e-3, 4.0
"""Periods of the time embedding, in flow time. Source: openpi models/pi0.py."""

TABLE_SIZE = 256
"""Flow times whose modulation is kept; 0.45 MB each at full size. Guess; a grid has 11."""


class Expert:
    """The small Gemma that turns noisy rows into velocities."""

    def __init__(self, source: WeightSource, size: ModelSize) -> None:
        """Read the weights.

        Args:
            source: where tensors come from.
            size: sizes of the network.
        """
        self._size = size.expert
        self._dtype = source.dtype
        self._fused = Fused.for_device(source.device, source.dtype)
        single = torch.float32
        self._layers = [read_layer(source, f"{EXPERT}layers.{i}.") for i in range(size.expert.depth)]
        names = [
            f"{EXPERT}layers.{i}.{norm}.dense"
            for i in range(size.expert.depth)
            for norm in ("input_layernorm", "post_attention_layernorm")
        ]
        # float32 as in the reference samplers: 466 MB, read only when a time is tabulated.
        self._dense = [
            (source.get(f"{n}.weight", dtype=single), source.get(f"{n}.bias", dtype=single))
            for n in [*names, f"{EXPERT}norm.dense"]
        ]
        self._projections = {
            n: (source.get(f"{n}.weight", dtype=single), source.get(f"{n}.bias", dtype=single))
            for n in ("action_in_proj", "action_out_proj", "time_mlp_in", "time_mlp_out")
        }
        self._table: OrderedDict[float, Tensor] = OrderedDict()

    def modulation(self, t: float) -> Float[Tensor, "norms 3 D"]:
        """Return (1 + scale, shift, gate) of every norm at a flow time, float32, from the table where possible.

        Args:
            t: 1 = noise, 0 = action.
        """
        key = round(t, 9)
        if key not in self._table:
            self._table[key] = self._modulation(key)
            if len(self._table) > TABLE_SIZE:
                self._table.popitem(last=False)
        self._table.move_to_end(key)
        return self._table[key]

    def tabulated(self) -> list[Tensor]:
        """Return the tensors of the table; a recording that uses their addresses must keep them alive."""
        return list(self._table.values())

    def __call__(self, x: Float[Tensor, "B H A"], t: float, layout: Layout) -> Float[Tensor, "B H A"]:
        """Return the velocity (noise minus action) of every row, float32.

        Args:
            x: noisy chunks, float32.
            t: 1 = noise, 0 = action.
            layout: the prefix and room for these rows; its row slots are overwritten.
        """
        rows, fused = self.modulation(t), self._fused
        heads, d, slots = self._size.heads, self._size.head_dim, layout.slots
        h = linear(x.flatten(0, 1), *self._projections["action_in_proj"]).to(self._dtype)
        normed = fused.modulate(h, rows[0])
        for i, layer in enumerate(self._layers):
            qkv = linear(normed, layer.qkv).view(h.shape[0], heads + 2, d)
            q, k = fused.turn(qkv, layout.cos, layout.sin)
            layout.keys[i, slots:] = k
            layout.values[i, slots:] = qkv[:, -1]
            mixed = linear(attend(q, layout.keys[i], layout.values[i], layout.mask), layer.out)
            h, normed = fused.add_and_modulate(h, mixed, rows[2 * i], rows[2 * i + 1])
            hidden = linear(fused.geglu(linear(normed, layer.gate_up)), layer.down)
            h, normed = fused.add_and_modulate(h, hidden, rows[2 * i + 1], rows[2 * i + 2])
        return linear(normed.float(), *self._projections["action_out_proj"]).view(x.shape)

    def _modulation(self, t: float) -> Float[Tensor, "norms 3 D"]:
        cond = self._time_embedding(t)
        for name in ("time_mlp_in", "time_mlp_out"):
            cond = F.silu(linear(cond, *self._projections[name]))
        rows = torch.stack([linear(cond, w, b).view(3, -1) for w, b in self._dense])
        rows[:, 0] += 1.0
        return rows

    def _time_embedding(self, t: float) -> Float[Tensor, " D"]:
        device = self._projections["time_mlp_in"][0].device
        fraction = torch.linspace(0.0, 1.0, self._size.width // 2, dtype=torch.float64, device=device)
        period = MIN_PERIOD * (MAX_PERIOD / MIN_PERIOD) ** fraction
        # The reference samplers store the time as float32; at the shortest period an error of 1e-8 in time is one of 1e-5 in phase.
        angle = 2.0 * math.pi / period * float(torch.tensor(t, dtype=torch.float32))
        return torch.cat([angle.sin(), angle.cos()]).float()
