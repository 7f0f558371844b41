"""pi0.5 behind the FlowPolicy contract: loading, prompts, images, units, steering, recordings."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_tensors
from safetensors.torch import save_file

from frs_core.candidates.fan import build_fan
from frs_core.errors import ConfigError, FrsError, WeightsMissing
from frs_core.policies import load_policy
from frs_core.policies.base import FlowPolicy
from frs_core.policies.pi05 import Pi05Policy, inspect_checkpoint, load
from frs_core.policies.pi05.cuda_graph import bucket_of
from frs_core.policies.pi05.images import Resize, to_tower
from frs_core.policies.pi05.normalisation import affine_of, robot_space
from frs_core.policies.pi05.tokens import PromptForm, Tokenizer
from frs_core.robot.actions import ActionKind
from frs_core.steering import flow
from frs_core.steering.directions import Command, Direction, fan_commands
from frs_core.steering.methods import Fill, Method, Reference, Solver, SteeringPlan, gaussian
from tests.fakes.pi05 import FIXTURE, HORIZON, make_checkpoint, make_observation
from tests.rounding import bound


@pytest.fixture
def policy(tmp_path: Path) -> Pi05Policy:
    return load(make_checkpoint(tmp_path), device="cpu")


def references(policy: FlowPolicy, *, batch: int = 3) -> Reference:
    x = torch.zeros(batch, policy.spec.horizon, policy.spec.width)
    x[..., :7] = 0.4 * gaussian((batch, 1, 7), seed=5)
    commanded = torch.zeros(batch, policy.spec.width, dtype=torch.bool)
    commanded[:, :7] = True
    return Reference(x, commanded)


ROUNDING = bound(sums=160, layers=4, evaluations=20)
"""Reversal and denoising in ten steps each, through two layers of attention and feed-forward."""


def largest(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).nan_to_num().abs().max())


@pytest.mark.parametrize("family", ["openpi", "lerobot"])
def test_both_families_load_by_name_and_sample(tmp_path: Path, family: str) -> None:
    folder = make_checkpoint(tmp_path, family=family)
    policy = load_policy("pi05", path=folder, device="cpu")
    assert (policy.spec.horizon, policy.spec.width, policy.spec.execute_rows) == (HORIZON, 32, 8)
    assert policy.spec.action_space.kind is ActionKind.JOINT_VELOCITY
    context = policy.encode(make_observation())
    assert context.features.shape == (policy.spec.feature_size,)
    chunk = policy.to_robot(policy.denoise(context, gaussian((2, HORIZON, 32), seed=0)))
    assert chunk.shape == (2, HORIZON, 8)
    assert np.isfinite(chunk).all()


def test_two_loads_of_a_checkpoint_share_a_fingerprint_and_other_weights_do_not(tmp_path: Path) -> None:
    first = make_checkpoint(tmp_path / "a")
    second = make_checkpoint(tmp_path / "b")
    prints = [inspect_checkpoint(f).fingerprint() for f in (first, second)]
    assert prints[0] == prints[1]
    weights = load_tensors(second / "model.safetensors")
    save_file({k: v * 1.01 for k, v in weights.items()}, second / "model.safetensors")
    assert inspect_checkpoint(second).fingerprint() != prints[0]


def test_the_whole_fan_of_a_joint_policy_is_built(policy: Pi05Policy) -> None:
    observation = make_observation()
    fan = build_fan(policy, policy.encode(observation), observation, plan=policy.default_plan)
    assert len(fan.candidates) == 1 + len(fan_commands())
    assert all(np.isfinite(c.chunk).all() for c in fan.candidates)
    assert fan[Command(Direction.LEFT).label].noise.shape == (HORIZON, 32)


def test_padding_and_uncommanded_columns_start_from_the_seeded_noise(policy: Pi05Policy) -> None:
    context = policy.encode(make_observation())
    steered = policy.steer(context, references(policy), SteeringPlan(seed=11))
    fresh = gaussian((1, HORIZON, 32), seed=11).expand_as(steered.noise)
    assert torch.equal(steered.noise[..., 7:], fresh[..., 7:])
    assert largest(steered.noise[..., :7], fresh[..., :7]) > 0.1
    assert largest(policy.denoise(context, steered.noise), steered.chunk) < ROUNDING


def test_steering_does_not_depend_on_the_company(policy: Pi05Policy) -> None:
    context, all_rows = policy.encode(make_observation()), references(policy, batch=5)
    together = policy.steer(context, all_rows, SteeringPlan())
    alone = policy.steer(context, Reference(all_rows.x[2:3], all_rows.commanded[2:3]), SteeringPlan())
    assert largest(together.chunk[2:3], alone.chunk) < ROUNDING


@pytest.mark.parametrize(
    "plan",
    [
        SteeringPlan(seed=3),
        SteeringPlan(seed=3, components=1),
        SteeringPlan(seed=3, components=4, fill=Fill.NOISE, clamp=0.7),
        SteeringPlan(seed=3, depth=6),
        SteeringPlan(seed=3, solver=Solver.FIXED_POINT, iterations=3, steps=4),
        SteeringPlan(seed=3, method=Method.PARTIAL_NOISING),
        SteeringPlan(seed=3, method=Method.FLOW_CONTROL),
    ],
)
def test_a_loop_in_fixed_memory_equals_the_plain_loop(policy: Pi05Policy, plan: SteeringPlan, caplog) -> None:
    context, batch = policy.encode(make_observation()), references(policy)
    plain = policy.steer(context, batch, plan)
    policy.loops.is_enabled = True  # There is no GPU: recording fails, and the loop's own plain run answers.
    with caplog.at_level(logging.WARNING):
        fixed = policy.steer(context, batch, plan)
    if not torch.cuda.is_available():
        assert "CUDA graphs are off" in caplog.text
        assert policy.loops.reason.startswith("recording failed")
    for name in ("noise", "chunk", "recovered"):
        assert largest(getattr(fixed, name), getattr(plain, name)) < ROUNDING, name


def test_a_loop_is_reused_for_other_prompts_seeds_and_references(policy: Pi05Policy) -> None:
    first = policy.encode(make_observation())
    second = policy.encode(make_observation(instruction="open the drawer on the left"))
    lengths = [c.payload.cache.length for c in (first, second)]
    assert lengths[0] != lengths[1]
    assert bucket_of(lengths[0]) == bucket_of(lengths[1])
    made = []
    for context, seed in ((first, 1), (second, 2), (first, 3)):
        plan, batch = SteeringPlan(seed=seed), references(policy)
        plain = policy.steer(context, batch, plan)
        policy.loops.is_enabled = True
        fixed = policy.steer(context, batch, plan)
        assert largest(fixed.chunk, plain.chunk) < ROUNDING
        policy.loops.is_enabled = False
        made.append(len(policy.loops._loops))
    assert made == [1, 1, 1]


def test_offset_joints_are_presented_as_absolute_joints_exactly(tmp_path: Path) -> None:
    velocity = load(make_checkpoint(tmp_path), device="cpu")
    position = load(make_checkpoint(tmp_path, name="pi05_droid_jointpos_polaris"), device="cpu")
    assert position.spec.action_space.kind is ActionKind.JOINT_POSITION
    observation = make_observation()
    noise = gaussian((2, HORIZON, 32), seed=1)
    own = velocity.denoise(velocity.encode(observation), noise)
    absolute = position.denoise(position.encode(observation), noise)
    space = position.spec.action_space
    raw = space.unnormalise(own[..., :8].numpy())
    raw[..., :7] += observation.q
    np.testing.assert_allclose(space.unnormalise(absolute[..., :8].numpy()), raw, atol=1e-4)
    context = position.encode(observation)

    def error(steps: int) -> float:
        back = flow.reverse(lambda x, t: position.velocity(context, x, t), absolute, steps=steps)
        return largest(position.denoise(context, back, steps=steps), absolute)

    assert 1.6 < error(40) / error(80) < 2.4


def test_held_padding_does_not_reach_the_network(tmp_path: Path) -> None:
    policy = load(make_checkpoint(tmp_path, family="lerobot"), device="cpu", hold_padding=True)
    context = policy.encode(make_observation())
    noise = gaussian((1, HORIZON, 32), seed=1)
    other = noise.clone()
    other[..., 8:] = 5.0
    assert torch.equal(policy.denoise(context, noise)[..., :8], policy.denoise(context, other)[..., :8])


def test_prompts_equal_openpis() -> None:
    tokenizer = Tokenizer(FIXTURE / "tokenizer.model", vocabulary=256)
    for case in json.loads((FIXTURE / "prompts.json").read_text()):
        state = np.array(case["state"])
        assert tokenizer.encode(PromptForm.STATE_TEXT, case["instruction"], state) == case["with_state"]
        assert tokenizer.encode(PromptForm.PLAIN, case["instruction"], state) == case["plain"]


def test_pictures_are_shrunk_like_the_checkpoints_own_pipeline() -> None:
    pictures = load_file(FIXTURE / "pictures.safetensors")
    filtered = to_tower(pictures["image"], 56, rule=Resize.FILTERED).permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(((filtered + 1.0) * 127.5).round(), pictures["filtered"])
    sampled = to_tower(pictures["image"], 56, rule=Resize.SAMPLED).permute(1, 2, 0).numpy()
    np.testing.assert_allclose(sampled, pictures["sampled"], atol=1e-5)


def test_quantiles_and_libero_units_reach_the_robot() -> None:
    stats = {"q01": np.full(7, -1.0), "q99": np.full(7, 1.0)}
    space = robot_space(
        ActionKind.EE_DELTA, affine_of(stats, mode="quantiles", size=7, eps=0.0, what="actions"), control_hz=20.0
    )
    chunk = space.unnormalise(np.ones((1, 1, 7), dtype=np.float32))[0, 0]
    np.testing.assert_allclose(chunk, [0.05] * 3 + [0.5] * 3 + [1.0], atol=1e-6)
    np.testing.assert_allclose(space.unnormalise(-np.ones((1, 1, 7)))[0, 0, -1], 0.0, atol=1e-6)


def test_openpis_libero_prompt_has_no_state(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, name="pi05_libero", sizes=(8, 7))
    policy = load(folder, device="cpu", horizon=HORIZON, cameras=("left", "wrist"))
    assert inspect_checkpoint(folder, horizon=HORIZON).prompt is PromptForm.PLAIN
    assert policy.spec.action_space.kind is ActionKind.EE_DELTA
    assert policy.encode(make_observation()).payload.cache.length == 2 * 16 + 7


def test_a_missing_camera_is_named(tmp_path: Path) -> None:
    policy = load(make_checkpoint(tmp_path), device="cpu", cameras="base_0_rgb=left,left_wrist_0_rgb=overhead")
    with pytest.raises(ConfigError, match=r"needs camera \['overhead'\].*left_wrist_0_rgb=overhead"):
        policy.encode(make_observation())


def _remove(name: str):
    def action(folder: Path) -> None:
        (folder / name).unlink()

    return action


def _drop_tensor(folder: Path) -> None:
    weights = load_tensors(folder / "model.safetensors")
    weights.pop("time_mlp_out.weight")
    save_file(weights, folder / "model.safetensors")


def _truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def _cut_in_the_tensors(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def _spoil_stats(folder: Path) -> None:
    path = folder / "assets/droid/norm_stats.json"
    data = json.loads(path.read_text())
    data["norm_stats"]["actions"]["q99"] = data["norm_stats"]["actions"]["q99"][:5]
    path.write_text(json.dumps(data))


def _other_horizon(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"action_dim": 32, "action_horizon": 10}))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (_remove("model.safetensors"), "'model.safetensors' is missing"),
        (_remove("config.json"), "'config.json' is missing"),
        (_remove("assets/droid/norm_stats.json"), "No norm_stats.json"),
        (_remove("tokenizer.model"), "No tokenizer"),
        (_drop_tensor, "'time_mlp_out.weight' is missing"),
        (_truncate, "not a safetensors file"),
        (_cut_in_the_tensors, "'model.safetensors' is not whole: it has "),
        (_spoil_stats, "have 5 numbers in 'q99', the robot needs 8"),
        (_other_horizon, "config.json has action_horizon = 10, and preset 'pi05_droid' has 15 rows"),
    ],
)
def test_an_incomplete_checkpoint_is_refused_with_the_reason(tmp_path: Path, monkeypatch, damage, sentence) -> None:
    monkeypatch.setenv("OPENPI_DATA_HOME", str(tmp_path / "no_cache"))
    folder = make_checkpoint(tmp_path)
    damage(folder)
    with pytest.raises(FrsError) as caught:
        load(folder, device="cpu")
    assert sentence in str(caught.value)
    assert any(sentence in p for p in inspect_checkpoint(folder).problems)


def test_the_meaning_of_actions_is_never_guessed(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, name="my_finetune")
    with pytest.raises(ConfigError, match="Give --preset NAME"):
        load(folder, device="cpu")
    assert load(folder, device="cpu", preset="pi05_droid").spec.name == "my_finetune"
    with pytest.raises(ConfigError, match="Did you mean 'pi05_droid'"):
        load(folder, device="cpu", preset="pi05_drod")


def test_a_missing_folder_is_no_random_policy(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="No checkpoint folder"):
        load(tmp_path / "nothing")
