"""An online learner for the point world: it tries one noise after another around the best so far, and keeps what succeeded soonest."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from frs_core.choosers.base import NoisePolicy
from frs_core.learning import artifact
from frs_core.learning.base import Acts, LearnerSpec, Need, OnlineLearner, Trained
from frs_core.learning.metadata import PolicyMetadata
from frs_core.learning.progress import OnProgress, Scores, ignore_progress
from frs_core.learning.settings import LearnerSettings, to_json
from frs_core.learning.table import TrainingTable
from frs_core.policies.base import FlowPolicy
from frs_core.robot.observation import Observation
from frs_core.steering.policy_spec import Context


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


class Seeker(OnlineLearner[SeekerSettings]):
    """Random search over constant noises."""

    def begin(
        self, policy: FlowPolicy, settings: SeekerSettings | None = None, *, prior: TrainingTable | None = None
    ) -> None:
        """Start from the mean noise of what succeeded, or from zero."""
        spec = policy.spec
        self._settings = self.checked(settings)
        self._sizes, self._fingerprint, self._rng = spec, spec.fingerprint, np.random.default_rng(0)
        self._best = np.zeros((spec.horizon, spec.width), np.float32)
        self._soonest, self._tables = np.inf, [] if prior is None else [prior]
        if prior is not None:
            assert prior.reward is not None
            self._best = prior.noise[prior.reward > 0].mean(axis=0)
        self._tried = self._best

    def actor(self, *, explores: bool, name: str = "") -> Trained:
        """Return a noise near the best so far, or the best."""
        name, noise = name or self.spec.id, self._best
        if explores:
            noise = noise + self._settings.spread * self._rng.normal(size=noise.shape[1]).astype(np.float32)
            self._tried = noise
        scores = Scores.blank(sum(t.rows for t in self._tables))
        metrics = {"seconds": 0.0, "steps": len(self._tables)}
        metadata = PolicyMetadata(
            **{f: getattr(self._sizes, f) for f in ("horizon", "width")},
            kind=self.spec.id,
            name=name,
            policy_fingerprint=self._fingerprint,
            action_size=self._sizes.action_space.size,
            feature_size=0,
            proprio_size=0,
            settings=to_json(self._settings),
            data={},
            metrics={**metrics, "card": asdict(scores)},
        )
        return Trained(
            weights={"noise": torch.from_numpy(noise)},
            metadata=metadata,
            scores=scores,
            acting=lambda: OneNoise(noise, self._fingerprint, name),
            steps=len(self._tables),
        )

    def learn(self, episodes: TrainingTable) -> float:
        """Keep what succeeded sooner."""
        assert episodes.reward is not None
        assert episodes.following is not None
        self._tables.append(episodes)
        lengths = [int((episodes.episode == e).sum()) for e in set(episodes.episode[episodes.terminal].tolist())]
        if lengths and min(lengths) < self._soonest:
            self._best, self._soonest = self._tried, min(lengths)
        return float(1.0 - len(lengths) / len(episodes.names))

    def state(self) -> Mapping[str, Any]:
        """Return the best noise, how soon it succeeded, and where chance stands."""
        return {
            "best": torch.from_numpy(self._best),
            "soonest": self._soonest,
            "random": json.dumps(self._rng.bit_generator.state),
        }

    def restore(self, state: Mapping[str, Any], own: Sequence[TrainingTable]) -> None:
        """Go on from there."""
        self._best, self._soonest = state["best"].numpy(), state["soonest"]
        self._rng.bit_generator.state = json.loads(state["random"])
        self._tables += own

    def train(
        self,
        table: TrainingTable,
        settings: SeekerSettings | None = None,
        *,
        name: str = "",
        on_progress: OnProgress = ignore_progress,
    ) -> Trained:
        """Refuse: it learns by acting alone."""
        raise NotImplementedError

    def load(self, folder: Path, metadata: PolicyMetadata, fingerprint: str) -> OneNoise:
        """Return the saved noise."""
        noise = artifact.read_weights(folder, metadata, fingerprint)["noise"].numpy()
        return OneNoise(noise, metadata.policy_fingerprint, metadata.name)


ROW = LearnerSpec(
    id="seeker",
    title="Seeker",
    summary="Try noises until one succeeds",
    learner="tests.fakes.practising:Seeker",
    settings=SeekerSettings,
    acts=Acts.NOISE,
    needs=frozenset({Need.NOISES, Need.REWARDS, Need.NEXT_STATES, Need.ENVIRONMENT}),
)
