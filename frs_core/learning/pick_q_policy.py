"""Pick-q at work: it judges a fan and takes the best.

It takes another noise than the first draw where the heads agree that it is better; where they do not it acts as the imitating policy does,
and a tenth of the time while it practises. Runs on the inference worker's thread.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from frs_core.arrays import Array
from frs_core.choosers.base import Judged, ValuingPolicy
from frs_core.learning import artifact
from frs_core.learning.dsbc import Dsbc, DsbcPolicy
from frs_core.learning.metadata import PolicyMetadata
from frs_core.learning.noise_critic import Critic
from frs_core.learning.registry import find_learner
from frs_core.learning.settings import PickQSettings, from_json, to_json
from frs_core.robot.observation import Observation
from frs_core.steering.directions import Command, Gripper, fan_commands
from frs_core.steering.policy_spec import Context

DRAWS = "draws."
"""Beginning of the names of the imitating network's weights."""


class PickQPolicy(ValuingPolicy):
    """A policy that picks by a trained critic.

    Args:
        critic: trained.
        imitation: gives the draws.
        metadata: sizes and names.
        settings: as trained with.
        explores: explores, drawing from the seed of `begin`.
    """

    def __init__(
        self,
        critic: Critic,
        imitation: DsbcPolicy,
        metadata: PolicyMetadata,
        settings: PickQSettings,
        *,
        explores: bool,
    ) -> None:
        self.name, self.policy_fingerprint, self.metadata = metadata.name, metadata.policy_fingerprint, metadata
        self._critic, self._imitation, self._settings = critic.eval(), imitation, settings
        self._explores, self._random = explores, np.random.default_rng(0)

    def begin(self, seed: int) -> None:
        """Start an episode."""
        self._random = np.random.default_rng(seed)

    def commands(self, observation: Observation) -> tuple[Command, ...]:
        """Return every direction; fingers that are closed stay so."""
        if not self._settings.directions:
            return ()
        return fan_commands(gripper=Gripper.CLOSE if observation.gripper_command > 0.5 else Gripper.POLICY)

    @torch.no_grad()
    def draws(self, context: Context, observation: Observation) -> Float[Array, "N H A"]:
        """Return draws of the imitating policy; the same ones in the same step, unless it explores."""
        seed = int(self._random.integers(2**31)) if self._explores else observation.step
        return self._imitation.noises(context, observation, count=self._settings.draws, seed=seed)

    @torch.no_grad()
    def judge(self, context: Context, observation: Observation, noises: Float[Array, "B H A"]) -> Judged:
        """Return the values of noises, the last `draws` of them being its own."""
        settings, size = self._settings, self.metadata.action_size
        features, proprio = (
            torch.from_numpy(np.asarray(x, np.float32))[None] for x in (context.features, observation.proprio)
        )
        reduced = self._critic.reduced(torch.from_numpy(np.ascontiguousarray(noises[..., :size])).float())
        is_there = torch.isfinite(reduced).all(dim=1)
        heads = self._critic.values(self._critic.state(features, proprio), reduced.nan_to_num(0.0)[None])[:, 0]
        first_draw = len(noises) - settings.draws
        # Advantage over the average draw, by every head: their uncertainty about the value of the state cancels out.
        better = heads - heads[:, first_draw:].mean(dim=1, keepdim=True)
        score = better.mean(dim=0) - settings.confidence * better.std(dim=0, unbiased=False)
        is_direction = torch.arange(len(noises)) < first_draw
        is_direction[0] = False
        score = torch.where(is_direction, score - settings.margin if settings.directions else -torch.inf, score)
        score = score.masked_fill(~is_there, -torch.inf)
        best = int(score.argmax())
        takes_any = self._explores and self._random.random() < settings.tries
        if takes_any or score[best] <= 0.0:
            best = first_draw
        return Judged(torch.where(is_there, heads.mean(dim=0), torch.nan).numpy(), best)


def acting(metadata: PolicyMetadata, weights: Mapping[str, Tensor], folder: Path = Path("pick-q")) -> PickQPolicy:
    """Return a policy made of weights.

    Raises:
        ConfigError: they do not fit the metadata.
    """
    settings = from_json(PickQSettings, metadata.settings)
    own = {k: v for k, v in weights.items() if not k.startswith(DRAWS)}
    imitation = {k.removeprefix(DRAWS): v for k, v in weights.items() if k.startswith(DRAWS)}
    critic = artifact.load_network(lambda: new_critic(settings, metadata), folder, metadata, own)
    explores = metadata.metrics.get("explores") is True
    return PickQPolicy(critic, imitating(metadata, imitation, folder), metadata, settings, explores=explores)


def new_critic(settings: PickQSettings, metadata: PolicyMetadata) -> Critic:
    """Return a critic with fresh weights."""
    return Critic(
        settings,
        feature_size=metadata.feature_size,
        proprio_size=metadata.proprio_size,
        horizon=metadata.horizon,
        action_size=metadata.action_size,
    )


def imitating(metadata: PolicyMetadata, weights: Mapping[str, Tensor], folder: Path = Path("pick-q")) -> DsbcPolicy:
    """Return the imitating policy made of its weights.

    Raises:
        ConfigError: they do not fit the metadata.
    """
    learner, settings = Dsbc(find_learner("dsbc")), from_json(PickQSettings, metadata.settings).imitation
    metadata = replace(metadata, kind="dsbc", settings=to_json(settings))
    return learner.acting(learner.load_network(folder, metadata, settings, weights), metadata, {})
