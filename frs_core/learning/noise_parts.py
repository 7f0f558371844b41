"""Which part of the generalist's noise is chosen, and the rest filled as the generalist expects it.

A noise of H rows is H temporal components (an orthonormal discrete cosine transform, as in steering): the first is the mean of the
chunk, times sqrt(H); each is N(0, 1) for the generalist's own noise. Half of what steering does is in the first.

Example: 16 rows, one component, 7 columns: 7 numbers are chosen; a chosen 4 is a chunk mean of 1.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from frs_core.errors import ConfigError
from frs_core.steering.methods import dct_basis


@dataclass(frozen=True, slots=True)
class NoisePart:
    """The lowest temporal components of some columns."""

    horizon: int
    columns: tuple[int, ...]
    components: int

    @classmethod
    def of(cls, horizon: int, action_size: int, *, columns: tuple[int, ...], components: int | None) -> "NoisePart":
        """Return the part that settings name.

        Raises:
            ConfigError: the robot has no such column, or the chunk fewer rows.
        """
        wrong = [c for c in columns if c >= action_size]
        if wrong:
            raise ConfigError(f"columns names number {wrong[0]}, the robot's actions have {action_size}. Count from 0.")
        if components is not None and components > horizon:
            raise ConfigError(f"components is {components}, a chunk has {horizon} rows. Leave it out for the mean.")
        return cls(horizon, columns or tuple(range(action_size)), components or horizon)

    @property
    def numbers(self) -> int:
        """How many numbers are chosen."""
        return self.components * len(self.columns)

    def read(self, noise: Float[Tensor, "M H A"]) -> Float[Tensor, "M n"]:
        """Return the chosen part of some noises."""
        basis = dct_basis(self.horizon)[: self.components].to(noise)
        return rearrange(torch.einsum("kh,mhc->mkc", basis, noise[:, :, list(self.columns)]), "m k c -> m (k c)")

    def compose(
        self, chosen: Float[Tensor, "M n"], fresh: Float[Tensor, "M H A"], *, rest: float = 1.0
    ) -> Float[Tensor, "M H A"]:
        """Return noises with the chosen part in its place.

        Args:
            chosen: numbers.
            fresh: N(0, 1), which everything else is taken from.
            rest: what the other components of the chosen columns are multiplied with.
        """
        columns = list(self.columns)
        basis = dct_basis(self.horizon)[: self.components].to(fresh)
        # What stays of the fresh noise in the chosen components is taken out again.
        change = rearrange(chosen - rest * self.read(fresh), "m (k c) -> m k c", k=self.components)
        noise = fresh.clone()
        noise[:, :, columns] = rest * fresh[:, :, columns] + torch.einsum("kh,mkc->mhc", basis, change)
        return noise
