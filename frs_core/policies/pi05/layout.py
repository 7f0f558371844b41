"""Keys and values of a batch of candidates: one shared prefix, and a block of rows for each candidate.

Problem: every candidate attends to the same prefix and to its own rows, never to another candidate's. Idea: put all rows
in one sequence after one copy of the prefix and mask out the other candidates' blocks; the prefix is stored, read and
written once for any number of candidates. The prefix may have a few spare slots (a bucket), masked as well, so that
a captured loop fits prompts of many lengths: contents change, addresses do not.

Example: prefix 572 in a bucket of 576, 8 candidates of 15 rows: keys [18, 576 + 120, 256] and a mask [120, 696].
Runs on the inference worker; one layout serves one loop at a time.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from frs_core.errors import ShapeMismatch
from frs_core.policies.pi05.layers import rotation
from frs_core.policies.pi05.prefix import PrefixCache


class Layout:
    """Key/value memory, mask and positions for B candidates of H rows behind one prefix."""

    def __init__(self, cache: PrefixCache, *, batch: int, horizon: int, slots: int | None = None) -> None:
        """Reserve the memory and fill in the prefix.

        Args:
            cache: an encoded observation.
            batch: B, candidates.
            horizon: H, rows of each.
            slots: room for the prefix, tokens; None = exactly its length.
        """
        depth, length, d = cache.keys.shape
        self.slots = slots or length
        self.batch, self.horizon = batch, horizon
        rows = batch * horizon
        device, dtype = cache.keys.device, cache.keys.dtype
        self.keys = torch.zeros(depth, self.slots + rows, d, device=device, dtype=dtype)
        self.values = torch.zeros(depth, self.slots + rows, d, device=device, dtype=dtype)
        self.mask = self._block_mask() if batch > 1 or slots is not None else None
        self.cos = torch.empty(rows, 1, d // 2, device=device)
        self.sin = torch.empty(rows, 1, d // 2, device=device)
        self.load(cache)

    def load(self, cache: PrefixCache) -> None:
        """Write another prefix in place, without changing any address.

        Raises:
            ShapeMismatch: the prefix is longer than the slots.
        """
        length = cache.length
        if length > self.slots:
            raise ShapeMismatch(f"The prefix has {length} tokens, this layout holds {self.slots}. Use a larger bucket.")
        self.keys[:, :length].copy_(cache.keys)
        self.values[:, :length].copy_(cache.values)
        if self.mask is not None:
            self.mask[:, :length] = 0.0
            self.mask[:, length : self.slots] = -torch.inf
        positions = torch.arange(length, length + self.horizon, device=self.cos.device)
        cos, sin = rotation(positions, self.keys.shape[-1])
        self.cos.copy_(cos.repeat(self.batch, 1, 1))
        self.sin.copy_(sin.repeat(self.batch, 1, 1))

    def _block_mask(self) -> Float[Tensor, "rows s"]:
        """Return a mask that lets every row attend to the prefix and to its own candidate's rows."""
        rows = self.batch * self.horizon
        block = torch.arange(rows, device=self.keys.device) // self.horizon
        mask = torch.zeros(rows, self.slots + rows, device=self.keys.device, dtype=self.keys.dtype)
        mask[:, self.slots :].masked_fill_(block[:, None] != block[None, :], -torch.inf)
        return mask
