"""An online learner for the point world: it tries one noise after another around the best so far, and keeps what succeeded soonest."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from frs_core.choosers.base import NoisePolicy
from frs_core.learning import artifact
from frs_core.learning.base import Acts, LearnerSpec, Need, OnlineLearner, Trained
from frs_core.learning.metadata import PolicyMetadata, check_fingerprint
from frs_core.learning.progress import Card, OnProgress, ignore_progress
from frs_core.learning.provenance import make_metadata
from frs_core.learning.settings import LearnerSettings, to_json
from frs_core.learning.table import TrainingTable
from frs_core.policies.base import FlowPolicy
from frs_core.robot.observation import Observation
from frs_core.steering.policy_spec import Context

NAN = float("nan")


@dataclass(frozen=True, slots=True)
class SeekerSettings(LearnerSettings):
    """How far it looks."""

    spread: float = 2.0


class OneNoise(NoisePolicy):
    """Answers the same noise everywhere."""

    def __init__(self, noise: Float[np.ndarray, "H A"], fingerprint: str, name: str) -> None:
        self._noise, self.policy_fingerprint, self.name = noise, fingerprint, name

    def noise(self, context: Context, observation: Observation) -> Float[np.ndarray, "H A"]:
        """Return it."""
        return self._noise


class Seeker(OnlineLearner):
    """Random search over constant noises."""

    def begin(self, policy: FlowPolicy, settings: Any = None, *, prior: TrainingTable | None = None) -> None:
        """Start from the mean noise of what succeeded, or from zero."""
        spec = policy.spec
        self._settings = self.spec.checked(settings)
        self._fingerprint, self._rng = spec.fingerprint, np.random.default_rng(0)
        self._best = np.zeros((spec.horizon, spec.width), np.float32)
        self._soonest, self._tables = np.inf, [] if prior is None else [prior]
        if prior is not None:
            assert prior.reward is not None
            self._best = prior.noise[prior.reward > 0].mean(axis=0)
        self._tried = self._best

    def actor(self) -> OneNoise:
        """Return a noise near the best so far."""
        assert isinstance(self._settings, SeekerSettings)
        step = self._settings.spread * self._rng.normal(size=self._best.shape[1]).astype(np.float32)
        self._tried = self._best + step
        return OneNoise(self._tried, self._fingerprint, "seeker")

    def learn(self, episode: TrainingTable) -> float:
        """Keep what succeeded sooner."""
        assert episode.reward is not None
        assert episode.following is not None
        self._tables.append(episode)
        if episode.reward.any() and episode.rows < self._soonest:
            self._best, self._soonest = self._tried, episode.rows
        return float(1.0 - episode.reward.sum())

    def finish(self, *, name: str = "", was_cancelled: bool = False) -> Trained:
        """Return the best."""
        name, best = name or self.spec.id, self._best
        card = Card(NAN, NAN, NAN, NAN, NAN, NAN, sum(t.rows for t in self._tables), False)
        metrics = {"seconds": 0.0, "steps": len(self._tables)}
        metadata = make_metadata(self.spec.id, name, self._tables[-1], to_json(self._settings), card, metrics)
        return Trained(
            weights={"noise": torch.from_numpy(best)},
            metadata=metadata,
            card=card,
            acting=lambda: OneNoise(best, self._fingerprint, name),
            steps=len(self._tables),
            was_cancelled=was_cancelled,
        )

    def train(
        self, table: TrainingTable, settings: Any = None, *, name: str = "", on_progress: OnProgress = ignore_progress
    ) -> Trained:
        """Refuse: it learns by acting alone."""
        raise NotImplementedError

    def load(self, folder: Path, metadata: PolicyMetadata, fingerprint: str) -> OneNoise:
        """Return the saved noise."""
        check_fingerprint(metadata, fingerprint, folder=folder)
        noise = artifact.read_weights(folder, metadata)["noise"].numpy()
        return OneNoise(noise, metadata.policy_fingerprint, metadata.name)


ROW = LearnerSpec(
    id="seeker",
    title="Seeker",
    summary="Try noises until one succeeds",
    learner="tests.fakes.practising:Seeker",
    settings=SeekerSettings,
    acts=Acts.NOISE,
    needs=frozenset({Need.REWARDS, Need.NEXT_STATES, Need.ENVIRONMENT}),
)
