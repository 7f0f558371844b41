"""What every learner keeps to; one that practises is given its episodes from a table."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from frs_core.arrays import Array
from frs_core.choosers.base import NoisePolicy
from frs_core.errors import FingerprintMismatch
from frs_core.learning.artifact import WEIGHTS
from frs_core.learning.base import Acts, ChunkPolicy, Learned, LearnerSpec, Need, OnlineLearner, Trained
from frs_core.learning.metadata import read_metadata
from frs_core.learning.packing import pack, unpack
from frs_core.learning.settings import LearnerSettings, from_json, to_json
from frs_core.learning.table import TrainingTable
from frs_core.policies.base import FlowPolicy
from frs_core.robot.observation import Observation
from frs_core.steering.policy_spec import Context


class LearnerContract:
    """Inherit it and say which row is meant, and what it learns from."""

    row: LearnerSpec

    def settings(self) -> LearnerSettings:
        """Return settings that train within seconds."""
        return self.row.settings()

    def other_settings(self) -> LearnerSettings:
        """Return settings under which it learns something else from the same episodes; another seed, where it has one."""
        return self.settings().seeded(1)

    def table(self) -> TrainingTable:
        """Return a few episodes; `synthetic_table` makes some, of which the last one failed where outcomes are learned from."""
        table = synthetic_table()
        if not self.row.needs_any(Need.REWARDS, Need.NEXT_STATES):
            return table
        return table.with_outcomes([*[True] * (len(table.names) - 1), False])

    def prior(self) -> TrainingTable | None:
        """Return what one that practises starts from; None = nothing."""
        table = self.table()
        return table.with_outcomes([True] * len(table.names))

    def observation(self) -> Observation:
        """Return a live observation whose proprioception has the table's length."""
        raise NotImplementedError

    def policy(self) -> FlowPolicy:
        """Return a generalist with the table's fingerprint; only learners that practise need it."""
        raise NotImplementedError

    def trained(self, settings: LearnerSettings | None = None) -> Trained:
        """Return what it learns from the table, under settings of its own or under these."""
        learner, table, settings = self.row.load(), self.table(), settings or self.settings()
        if not isinstance(learner, OnlineLearner):
            return learner.train(table, settings, name="mine")
        learner.begin(self.policy(), settings, prior=self.prior())
        assert learner.actor(explores=True).policy() is not None
        learner.learn(table.with_outcomes([True] * len(table.names)))
        return learner.actor(explores=False, name="mine")

    def answer(self, learned: Learned) -> Array:
        """Return what a policy does in the table's first row."""
        table, seen = self.table(), self.observation()
        context = Context(payload=None, features=table.features[0], captured_ns=seen.captured_ns)
        if isinstance(learned, ChunkPolicy):
            return learned.chunk(context, seen)
        return learned.noise(context, seen)

    def test_settings_survive_being_written_down(self) -> None:
        settings = self.settings()
        assert self.row.checked(settings) is settings
        assert from_json(self.row.settings, to_json(settings)) == settings
        assert settings.seeded(3) == settings.seeded(3)

    def test_what_was_learned_acts_the_same_from_disk(self, tmp_path: Path) -> None:
        trained, table = self.trained(), self.table()
        folder = trained.save(tmp_path / "saved")
        metadata = read_metadata(folder)
        assert (metadata.kind, metadata.name, metadata.policy_fingerprint) == (self.row.id, "mine", table.fingerprint)
        loaded = self.row.load().load(folder, metadata, table.fingerprint)
        assert isinstance(loaded, NoisePolicy if self.row.acts is Acts.NOISE else ChunkPolicy)
        np.testing.assert_array_equal(self.answer(loaded), self.answer(trained.policy()))
        size = table.width if self.row.acts is Acts.NOISE else table.action_size
        assert self.answer(loaded).shape == (table.horizon, size)

    def test_another_generalist_is_refused(self, tmp_path: Path) -> None:
        folder = self.trained().save(tmp_path / "saved")
        with pytest.raises(FingerprintMismatch):
            self.row.load().load(folder, read_metadata(folder), "another")

    def test_the_same_episodes_and_seed_give_the_same_weights(self, tmp_path: Path) -> None:
        one, two = (self.trained().save(tmp_path / name) / WEIGHTS for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()

    def test_it_learns_under_the_settings_it_is_given(self, tmp_path: Path) -> None:
        other = self.other_settings()
        assert other != self.settings(), (
            "It has no seed. Override other_settings: return some that change what it learns."
        )
        assert self._written(tmp_path / "other", other) != self._written(tmp_path / "one", self.settings())

    def _written(self, folder: Path, settings: LearnerSettings) -> list[bytes]:
        """Return the weights that it learns from the table; of one that practises, those with which it explores, too."""
        learner = self.row.load()
        if not isinstance(learner, OnlineLearner):
            return [(self.trained(settings).save(folder) / WEIGHTS).read_bytes()]
        learner.begin(self.policy(), settings, prior=self.prior())
        learner.learn(self.table().with_outcomes([True] * len(self.table().names)))
        actors = (learner.actor(explores=explores, name="mine") for explores in (True, False))
        return [(actor.save(folder / str(i)) / WEIGHTS).read_bytes() for i, actor in enumerate(actors)]

    def test_one_that_practises_goes_on_where_it_was(self) -> None:
        one, two = self.row.load(), self.row.load()
        if not isinstance(one, OnlineLearner) or not isinstance(two, OnlineLearner):
            return
        own = self.table().with_outcomes([True] * len(self.table().names))
        for learner in (one, two):
            learner.begin(self.policy(), self.settings(), prior=self.prior())
        one.learn(own)
        two.restore(unpack(*pack(one.state())), [own])
        for learner in (one, two):
            learner.learn(own)
        first, second = (learner.actor(explores=False) for learner in (one, two))
        for name, weights in first.weights.items():
            np.testing.assert_array_equal(weights, second.weights[name])

    def test_a_request_to_stop_is_heard(self) -> None:
        learner, reports = self.row.load(), []
        if isinstance(learner, OnlineLearner):
            return
        trained = learner.train(self.table(), self.settings(), on_progress=lambda p: bool(reports.append(p)))
        assert trained.was_cancelled == bool(reports)


def synthetic_table(*, episodes: int = 4, chunks: int = 6, seed: int = 0) -> TrainingTable:
    """Return successes of a made-up task: the noise says left or up, as the features do.

    Args:
        episodes: how many.
        chunks: rows of each.
        seed: of everything.
    """
    rng = np.random.default_rng(seed)
    rows, horizon, width = episodes * chunks, 8, 7
    hidden = rng.normal(size=(rows, 2))
    noise = rng.normal(size=(rows, horizon, width)).astype(np.float32)
    noise[:, :, 1] = np.where(hidden[:, 0] > 0, 1.5, 0.0)[:, None]
    noise[:, :, 2] = np.where(hidden[:, 0] > 0, 0.0, 1.5)[:, None]
    table = TrainingTable(
        features=np.tanh(hidden @ rng.normal(size=(2, 12))).astype(np.float32),
        proprio=np.tile(hidden, 9).astype(np.float32),
        noise=noise,
        chunk=(0.01 * noise).astype(np.float32),
        episode=np.repeat(np.arange(episodes), chunks),
        names=tuple(f"episode-{i}" for i in range(episodes)),
        fingerprint="toy-1",
        provenance={"tasks": ["made up"], "seeds": list(range(episodes))},
    )
    return replace(table, picked=tuple("left/more" if x > 0 else "up/more" for x in hidden[:, 0]))
