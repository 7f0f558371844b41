"""The noise policy learns, stops, is saved whole, and refuses what does not fit."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from frs_core.errors import ConfigError, FingerprintMismatch, ShapeMismatch, TrainingError, WeightsMissing
from frs_core.learning import DsbcSettings, FitSettings, InputSettings, Loss, NetworkSettings, NoiseOutput, Progress
from frs_core.learning.dsbc import target_noises
from frs_core.learning.metadata import list_saved, read_metadata
from frs_core.learning.network import GROUP_NORM, Inputs, SmallNet
from frs_core.learning.registry import load_noise_policy
from frs_core.learning.settings import from_json, to_json
from frs_core.learning.table import split
from frs_core.policies.base import Context
from frs_core.robot.observation import Observation
from tests.fakes.learning import synthetic_table, train_dsbc
from tests.fakes.world import PointWorld

SMALL = NetworkSettings(hidden=64, layers=2)
FIT = FitSettings(least_steps=0, steps=150, batch_size=32, learning_rate=2e-3, evaluate_every=10)
SETTINGS = DsbcSettings(network=SMALL, fit=FIT)


@pytest.fixture(scope="module")
def observation() -> Observation:
    return PointWorld().reset(task="reach_left", seed=0)


def context(features: np.ndarray) -> Context:
    return Context(payload=None, features=features.astype(np.float32), captured_ns=0)


def test_held_out_error_falls_below_the_constant_answer_and_the_policys_own_noise() -> None:
    scores = train_dsbc(synthetic_table(), SETTINGS).scores
    assert scores.is_held_out
    assert scores.error_after < scores.error_constant < scores.error_before


def test_nearest_offer_to_the_learned_noise_is_mostly_the_operators_pick() -> None:
    scores = train_dsbc(synthetic_table(), SETTINGS).scores
    assert scores.agreement_after > 0.8
    assert scores.chance == pytest.approx(1 / 7)
    assert scores.agreement_before == 0.0


@pytest.mark.parametrize("output", list(NoiseOutput))
@pytest.mark.parametrize("loss", list(Loss))
def test_every_output_and_loss_learns_and_survives_saving(
    output: NoiseOutput, loss: Loss, tmp_path: Path, observation: Observation
) -> None:
    table = synthetic_table()
    trained = train_dsbc(table, replace(SETTINGS, output=output, loss=loss))
    assert trained.scores.agreement_after > 0.7
    folder = trained.save(tmp_path / "policy")
    seen = context(table.features[0])
    before, after = (
        trained.policy().noise(seen, observation),
        load_noise_policy(folder, "toy-1").noise(seen, observation),
    )
    np.testing.assert_array_equal(before, after)
    assert before.shape == (8, 7)
    if output is NoiseOutput.MEAN:
        assert np.ptp(before, axis=0).max() == 0.0


def test_training_twice_gives_the_same_weights() -> None:
    one, two = (train_dsbc(synthetic_table(), SETTINGS).network.state_dict() for _ in range(2))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_training_leaves_the_callers_random_state_and_threads_alone() -> None:
    torch.manual_seed(5)
    expected, threads = torch.rand(3), torch.get_num_threads()
    torch.manual_seed(5)
    train_dsbc(synthetic_table(), SETTINGS)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


def test_held_out_rows_are_whole_episodes() -> None:
    parts = split(synthetic_table(episodes=10), 0.2, seed=3)
    assert parts.held_out is not None
    assert len(np.unique(parts.held_out.episode)) == 2
    assert not set(parts.train.episode) & set(parts.held_out.episode)


def test_two_episodes_are_all_used_for_learning() -> None:
    trained = train_dsbc(synthetic_table(episodes=2), SETTINGS)
    assert not trained.scores.is_held_out
    assert trained.report.steps == FIT.steps


def test_answering_false_stops_and_keeps_the_best_so_far() -> None:
    seen: list[Progress] = []

    def stop_at_third(progress: Progress) -> bool:
        seen.append(progress)
        return len(seen) < 3

    trained = train_dsbc(synthetic_table(), replace(SETTINGS, loss=Loss.MSE), on_progress=stop_at_third)
    best = min(seen, key=lambda p: p.held_out)
    assert trained.report.was_cancelled
    assert trained.report.steps == best.step
    assert trained.report.held_out == best.held_out
    assert trained.scores.error_after == pytest.approx(best.held_out, rel=1e-4)


def test_progress_names_a_falling_time_left() -> None:
    seen: list[Progress] = []
    train_dsbc(synthetic_table(), SETTINGS, on_progress=seen.append)
    assert all(p.seconds_left >= 0 for p in seen)
    assert seen[-1].stage == "refitting"
    assert seen[-1].seconds_left == 0.0


def test_another_generalist_is_refused(tmp_path: Path) -> None:
    folder = train_dsbc(synthetic_table(), SETTINGS).save(tmp_path / "policy")
    with pytest.raises(FingerprintMismatch, match="got fingerprint other"):
        load_noise_policy(folder, "other")


def test_a_missing_policy_tells_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="frs train dsbc"):
        load_noise_policy(tmp_path / "nothing", "toy-1")


@pytest.mark.parametrize("damage", ["weights", "json", "format", "version", "truncated"])
def test_a_damaged_policy_is_refused_by_name(tmp_path: Path, damage: str) -> None:
    folder = train_dsbc(synthetic_table(), SETTINGS).save(tmp_path / "policy")
    metadata, weights = folder / "policy.json", folder / "weights.safetensors"
    raw = json.loads(metadata.read_text())
    if damage == "weights":
        data = bytearray(weights.read_bytes())
        data[-1] ^= 0xFF
        weights.write_bytes(bytes(data))
    elif damage == "json":
        metadata.write_text(metadata.read_text()[:-30])
    elif damage == "truncated":
        del raw["horizon"]
        metadata.write_text(json.dumps(raw))
    else:
        raw[damage] = "something else"
        metadata.write_text(json.dumps(raw))
    with pytest.raises(ConfigError, match=str(folder)):
        load_noise_policy(folder, "toy-1")


def test_saving_never_overwrites_what_is_not_a_saved_policy(tmp_path: Path) -> None:
    trained = train_dsbc(synthetic_table(), SETTINGS)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep me")
    with pytest.raises(TrainingError, match="already exists"):
        trained.save(tmp_path / "mine", overwrite=True)
    folder = trained.save(tmp_path / "policy")
    with pytest.raises(TrainingError, match="already exists"):
        trained.save(folder)
    assert trained.save(folder, overwrite=True) == folder
    assert not list(tmp_path.glob(".*partial"))


def test_the_metadata_hold_episodes_settings_and_held_out_figures(tmp_path: Path) -> None:
    trained = train_dsbc(synthetic_table(), SETTINGS, name="to the left")
    metadata = read_metadata(trained.save(tmp_path / "policy"))
    assert metadata.name == "to the left"
    assert metadata.data["episodes"] == [f"episode-{i}" for i in range(6)]
    assert metadata.data["seeds"] == list(range(6))
    assert from_json(DsbcSettings, metadata.settings) == SETTINGS
    assert metadata.metrics["card"]["error_after"] == trained.scores.error_after
    assert [path for path, _ in list_saved(tmp_path)] == [tmp_path / "policy"]


def test_policies_of_the_cockpit_and_of_the_command_line_are_listed_alike(tmp_path: Path) -> None:
    trained = train_dsbc(synthetic_table(), SETTINGS, name="to the left")
    of_cockpit = trained.save(tmp_path / "to_the_left")
    of_command = trained.save(tmp_path / "can_on_plate" / "dsbc")
    of_suite = trained.save(tmp_path / "libero_90" / "13" / "dsbc")
    trained.save(of_suite / "versions" / "v1")
    assert {path for path, _ in list_saved(tmp_path)} == {of_cockpit, of_command, of_suite}


def test_padding_columns_get_seeded_noise_and_are_not_learned(observation: Observation) -> None:
    table = synthetic_table(width=12)
    trained = train_dsbc(table, SETTINGS)
    assert target_noises(table, NoiseOutput.CHUNK, tuple(range(7))).shape == (60, 8 * 7)
    noise = trained.policy().noise(context(table.features[0]), observation)
    assert noise.shape == (8, 12)
    assert 0.5 < noise[:, 7:].std() < 1.5


def test_features_of_another_length_are_refused(observation: Observation) -> None:
    policy = train_dsbc(synthetic_table(), SETTINGS).policy()
    with pytest.raises(ShapeMismatch, match="24 numbers of features"):
        policy.noise(context(np.zeros(5)), observation)


def test_the_image_encoder_can_replace_the_features(observation: Observation) -> None:
    table = synthetic_table(episodes=3, chunks=8)
    bright = np.array([220 if label == "left/more" else 30 for label in table.picked], dtype=np.uint8)
    images = np.broadcast_to(bright[:, None, None, None, None], (24, 1, 36, 36, 3)).copy()
    inputs = InputSettings(features=False, proprio=False, cameras=("left",), image_size=36)
    settings = replace(SETTINGS, inputs=inputs, fit=replace(FIT, steps=100))
    trained = train_dsbc(replace(table, images=images), settings)
    assert trained.scores.agreement_after > 0.8
    assert trained.policy().noise(context(np.zeros(24)), observation).shape == (8, 7)


def test_a_table_without_pictures_is_refused_when_cameras_are_on() -> None:
    settings = replace(SETTINGS, inputs=InputSettings(cameras=("left",)))
    with pytest.raises(TrainingError, match="without images"):
        train_dsbc(synthetic_table(), settings)


def test_a_noise_that_is_not_a_number_is_named_with_its_episode() -> None:
    table = synthetic_table()
    table.noise[17, 0, 0] = np.nan
    with pytest.raises(TrainingError, match=r"1 of 60 chunks have a non-finite noise, first in episode 'episode-1'"):
        train_dsbc(table, SETTINGS)


def test_deferred_chunks_can_be_left_out() -> None:
    table = synthetic_table()
    picked = ("unsteered",) * 30 + table.picked[30:]
    table = replace(table, picked=picked)
    trained = train_dsbc(table, replace(SETTINGS, deferred=False))
    assert trained.metadata.data["chunks"] == 30
    with pytest.raises(TrainingError, match="nothing is left to learn"):
        train_dsbc(replace(table, picked=("unsteered",) * 60), replace(SETTINGS, deferred=False))


def test_settings_survive_json_and_unknown_ones_are_named() -> None:
    settings = replace(SETTINGS, inputs=InputSettings(cameras=("left", "wrist")), output=NoiseOutput.MEAN)
    assert from_json(DsbcSettings, json.loads(json.dumps(to_json(settings)))) == settings
    with pytest.raises(ConfigError, match="Unknown DsbcSettings keys"):
        from_json(DsbcSettings, {"sizes": 3})
    with pytest.raises(ConfigError, match=r"DsbcSettings\.loss is 'l1'"):
        from_json(DsbcSettings, {"loss": "l1"})


def test_columns_that_are_not_predicted_get_seeded_noise(observation: Observation) -> None:
    table = synthetic_table()
    trained = train_dsbc(table, replace(SETTINGS, columns=(0, 1, 2)))
    assert trained.scores.agreement_after > 0.6
    noise = trained.policy().noise(context(table.features[0]), observation)
    assert 0.5 < noise[:, 3:].std() < 1.5
    label = table.picked[0]
    assert noise[:, 1 if label == "left/more" else 2].mean() > 0.75
    with pytest.raises(ConfigError, match="columns names number 7, the robot's actions have 7"):
        train_dsbc(table, replace(SETTINGS, columns=(7,)))


def test_inputs_are_balanced_always_and_blurred_only_while_training() -> None:
    table = synthetic_table()
    network = SmallNet(
        InputSettings(noise=0.5),
        NetworkSettings(hidden=16, layers=1),
        feature_size=table.features.shape[1],
        proprio_size=table.proprio.shape[1],
        output_size=3,
    )
    inputs = Inputs.of(table, InputSettings())
    network.measure(inputs)
    lengths = network.features(inputs.features).norm(dim=1)
    assert 0.5 * GROUP_NORM < float(lengths.median()) < 1.5 * GROUP_NORM
    network.eval()
    assert torch.equal(network(inputs), network(inputs))
    network.train()
    assert not torch.equal(network(inputs), network(inputs))
