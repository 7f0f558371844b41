"""Learners by name: one row each, own ones and those of installed packages (entry points `frs_core.learners`).

The menu of Train, `frs train`, the methods of an evaluation and whoever loads a saved policy read these rows. Free of the tensor
library; a learner is imported when it is to train or to act.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from frs_core.choosers.base import NoisePolicy
from frs_core.errors import ConfigError
from frs_core.learning.base import Acts, ChunkPolicy, Learned, LearnerSpec, Need
from frs_core.learning.doubts import FILE as DOUBTS
from frs_core.learning.doubts import RecordedDoubts
from frs_core.learning.metadata import PolicyMetadata, read_metadata
from frs_core.learning.settings import (
    BcSettings,
    DsbcSettings,
    DsrlFrsSettings,
    DsrlSettings,
    OfflineDsbcSettings,
    PickQSettings,
    ResidualSettings,
    RqlSettings,
)
from frs_core.runtime.registry import all_rows, by_id, find_row, plugins

GROUP = "frs_core.learners"
KNOWN: Mapping[str, LearnerSpec] = by_id(
    "learner",
    (
        LearnerSpec(
            id="dsbc",
            title="DSBC",
            summary="Train a noise policy on steered successes",
            learner="frs_core.learning.dsbc:Dsbc",
            settings=DsbcSettings,
            acts=Acts.NOISE,
            needs=frozenset({Need.NOISES}),
            details="Takes seconds; the generalist is not loaded. The result joins the fan as the learned candidate.",
        ),
        LearnerSpec(
            id="offline-dsbc",
            title="Offline DSBC",
            summary="Train a noise policy on demonstrations",
            learner="frs_core.learning.offline:OfflineDsbc",
            settings=OfflineDsbcSettings,
            acts=Acts.NOISE,
            needs=frozenset({Need.GENERALIST}),
            demonstrations=True,
            episodes=20,
            details="Every demonstrated chunk is inverted through the generalist by fixed-point iteration, and denoised again as a "
            "check; chunks that the generalist cannot reproduce are dropped. This takes minutes on a CPU.",
        ),
        LearnerSpec(
            id="bc-gaussian",
            title="BC, Gaussian",
            summary="Train behaviour cloning by regression, a baseline",
            learner="frs_core.learning.bc:GaussianCloning",
            settings=BcSettings,
            acts=Acts.CHUNK,
        ),
        LearnerSpec(
            id="bc-flow",
            title="BC, flow",
            summary="Train behaviour cloning by a small flow, a stronger baseline",
            learner="frs_core.learning.bc:FlowCloning",
            settings=BcSettings,
            acts=Acts.CHUNK,
        ),
        LearnerSpec(
            id="pick-q",
            title="Pick-Q",
            summary="Learn the value of every candidate and pick the best",
            learner="frs_core.learning.pick_q:PickQ",
            settings=PickQSettings,
            acts=Acts.NOISE,
            needs=frozenset({Need.NOISES, Need.REWARDS, Need.NEXT_STATES}),
            can_practise=True,
            details="Learns from failures too. `frs practise pick-q` continues by trial and error; the fan shows the value of every candidate.",
        ),
        LearnerSpec(
            id="rql",
            title="RQL",
            summary="Train a chunk policy on successes and failures by Reversal Q-Learning",
            learner="frs_core.learning.rql_learner:ReversalLearning",
            settings=RqlSettings,
            acts=Acts.CHUNK,
            needs=frozenset({Need.REWARDS, Need.NEXT_STATES}),
            episodes=20,
            details="Takes minutes on a CPU; the generalist is not loaded. Learns from all recorded episodes; actions that led to "
            "success are imitated more strongly.",
        ),
        LearnerSpec(
            id="dsrl-frs",
            title="DSRL + FRS",
            summary="Practise a noise policy from steered episodes, by trial and error",
            learner="frs_core.learning.dsrl:DsrlFrs",
            settings=DsrlFrsSettings,
            acts=Acts.NOISE,
            needs=frozenset({Need.NOISES, Need.REWARDS, Need.NEXT_STATES, Need.ENVIRONMENT}),
            details="Starts from the noises of steered successes and improves on them by exploration. Learns from failures too.",
        ),
        LearnerSpec(
            id="dsrl",
            title="DSRL",
            summary="Practise a noise policy from scratch, by trial and error; a baseline",
            learner="frs_core.learning.dsrl:Dsrl",
            settings=DsrlSettings,
            acts=Acts.NOISE,
            needs=frozenset({Need.REWARDS, Need.NEXT_STATES, Need.ENVIRONMENT}),
            details="Soft actor-critic on the generalist's noise; starts as the unchanged generalist.",
        ),
        LearnerSpec(
            id="residual",
            title="Residual RL",
            summary="Practise small corrections of the generalist's actions; a baseline that leaves its prior",
            learner="frs_core.learning.residual:Residual",
            settings=ResidualSettings,
            acts=Acts.CHUNK,
            needs=frozenset({Need.REWARDS, Need.NEXT_STATES, Need.ENVIRONMENT}),
            details="Soft actor-critic on corrections that are added to the chunk; starts as the unchanged generalist.",
        ),
    ),
)
"""The product's own rows, in the order of menus and tables."""


def learners() -> Mapping[str, LearnerSpec]:
    """Return all rows by id, the product's own first; an installed one that cannot be imported is left out and logged."""
    return all_rows("learner", LearnerSpec, KNOWN, plugins(GROUP))


def find_learner(name: str) -> LearnerSpec:
    """Return a row by id.

    Raises:
        ConfigError: unknown learner, or an installed one that cannot be imported.
    """
    return find_row("learner", LearnerSpec, name, KNOWN, plugins(GROUP))


def require_working(name: str) -> None:
    """Do nothing, unless an installed package brings a learner of that name which cannot be imported.

    Raises:
        ConfigError: what is wrong with it.
    """
    if name not in KNOWN and name in plugins(GROUP):
        find_learner(name)


def _folder(path: Path | str) -> Path:
    """Return the folder of a saved policy, which may be named by a file in it, as a checkpoint's may."""
    path = Path(path)
    return path.parent if path.is_file() else path


def load_learned(path: Path | str, fingerprint: str) -> Learned:
    """Return a saved policy of any learner, ready to act.

    Args:
        path: its folder.
        fingerprint: of the generalist it will drive, or whose features it will see.
    Raises:
        WeightsMissing: nothing is saved there.
        ConfigError: damaged, or of a learner that is not installed.
        FingerprintMismatch: trained for another generalist.
    """
    folder = _folder(path)
    return _load(folder, read_metadata(folder), fingerprint)


def load_noise_policy(path: Path | str, fingerprint: str) -> NoisePolicy:
    """Return a saved noise policy, ready to act. Raises as `load_learned`, and ConfigError for one that gives chunks."""
    folder = _folder(path)
    metadata = read_metadata(folder)
    if find_learner(metadata.kind).acts is not Acts.NOISE:
        raise ConfigError(
            f"'{folder}' holds a '{metadata.kind}' policy, a noise policy is needed. Train one with `frs train dsbc`."
        )
    return cast(NoisePolicy, _load(folder, metadata, fingerprint))


def load_chunk_policy(path: Path | str, fingerprint: str) -> ChunkPolicy:
    """Return a saved policy of actions, ready to act. Raises as `load_learned`, and ConfigError for a noise policy."""
    folder = _folder(path)
    metadata = read_metadata(folder)
    if find_learner(metadata.kind).acts is not Acts.CHUNK:
        raise ConfigError(
            f"'{folder}' holds a '{metadata.kind}' policy, behaviour cloning is needed. Use `frs train bc-gaussian`."
        )
    return cast(ChunkPolicy, _load(folder, metadata, fingerprint))


def _load(folder: Path, metadata: PolicyMetadata, fingerprint: str) -> Learned:
    learned = find_learner(metadata.kind).load().load(folder, metadata, fingerprint)
    if isinstance(learned, NoisePolicy) and (folder / DOUBTS).is_file():
        learned.doubts = RecordedDoubts.load(
            folder / DOUBTS, feature_size=metadata.feature_size, proprio_size=metadata.proprio_size
        )
    return learned
