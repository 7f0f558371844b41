"""Every row of the registry of learners resolves, and what earlier versions saved still loads."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frs_core.errors import ConfigError
from frs_core.learning import registry
from frs_core.learning.base import Acts, Learner, LearnerSpec
from frs_core.learning.registry import KNOWN, find_learner, learners, load_learned
from frs_core.learning.settings import FitSettings, LearnerSettings, NetworkSettings, OfflineDsbcSettings, from_json
from frs_core.steering.policy_spec import Context
from tests.fakes.learning import IMITATORS, synthetic_table, train_dsbc
from tests.fakes.world import PointWorld

SMALL: dict[str, Any] = {
    "network": NetworkSettings(hidden=16, layers=1),
    "fit": FitSettings(steps=20, least_steps=0, batch_size=16),
    "steps": 20,
}


@pytest.mark.parametrize("kind", IMITATORS)
def test_a_row_resolves_to_a_learner_that_trains_saves_and_acts(kind: str, tmp_path: Path) -> None:
    row = find_learner(kind)
    assert isinstance(row.load(), Learner)
    table = synthetic_table()
    table = table.with_outcomes([True] * len(table.names))
    settings = replace(row.settings(), **{k: v for k, v in SMALL.items() if hasattr(row.settings(), k)})
    trained = row.load().train(table, settings, name="mine")
    learned = load_learned(trained.save(tmp_path / "saved"), "toy-1")
    observation = PointWorld().reset(task="reach_left", seed=0)
    seen = Context(payload=None, features=table.features[0], captured_ns=0)
    act = learned.noise if row.acts is Acts.NOISE else learned.chunk  # type: ignore[union-attr]
    assert learned.name == "mine"
    assert act(seen, observation).shape == (8, 7)


def test_settings_of_another_learner_are_refused() -> None:
    with pytest.raises(ConfigError, match="got BcSettings, expected DsbcSettings"):
        find_learner("dsbc").checked(find_learner("bc-flow").settings())


def test_an_unknown_learner_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="dsbc"):
        find_learner("dsbk")


def test_offline_policies_saved_before_their_settings_held_labels_still_load(tmp_path: Path) -> None:
    settings = OfflineDsbcSettings(network=SMALL["network"], fit=SMALL["fit"])
    folder = train_dsbc(synthetic_table(), settings, kind="offline-dsbc").save(tmp_path / "saved")
    metadata = json.loads((folder / "policy.json").read_text())
    del metadata["settings"]["labels"]
    (folder / "policy.json").write_text(json.dumps(metadata))
    assert load_learned(folder, "toy-1").policy_fingerprint == "toy-1"
    assert from_json(OfflineDsbcSettings, metadata["settings"]) == settings


def test_a_broken_plug_in_is_left_out_of_menus_and_named_when_asked_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rows = {"lost": "no_such_package:ROW", "wrong": "numpy:pi", "dsbc": "numpy:pi"}
    monkeypatch.setattr(registry, "plugins", lambda group: rows)
    assert list(learners()) == list(KNOWN)
    assert "no_such_package" in caplog.text
    with pytest.raises(ConfigError, match="cannot be loaded from no_such_package:ROW"):
        find_learner("lost")
    with pytest.raises(ConfigError, match="expected a LearnerSpec"):
        find_learner("wrong")


def test_a_plug_in_is_a_row_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "plugins", lambda group: {"toy": f"{__name__}:ROW"})
    assert list(learners()) == [*KNOWN, "toy"]
    assert find_learner("toy") is ROW


class _Mean(Learner):
    """Never trained here."""

    def train(self, table: Any, settings: Any = None, *, name: str = "", on_progress: Any = None) -> Any:
        return np.mean(table.noise, axis=0)

    def load(self, folder: Path, metadata: Any, fingerprint: str) -> Any:
        return None


ROW = LearnerSpec("toy", "Toy", "Answer the mean noise", f"{__name__}:_Mean", LearnerSettings, Acts.NOISE)
