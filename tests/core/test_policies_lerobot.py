"""The LeRobot adapter: on a stand-in always, on LeRobot itself where it is installed (`-m slow`)."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from frs_core.errors import ConfigError, PolicyError, WeightsMissing
from frs_core.policies.base import FlowPolicy
from frs_core.policies.lerobot import LerobotPolicy, load, load_strictly
from frs_core.policies.pi05.presets import PRESETS
from frs_core.robot import kinematics
from frs_core.robot.actions import JOINT_STEP, ActionKind
from frs_core.robot.observation import Observation
from frs_core.steering.methods import Reference, SteeringPlan, gaussian
from frs_core.testing import FlowPolicyContract
from frs_core.worlds.guard import GuardedWorld
from tests.contracts import covers
from tests.fakes.pi05 import make_observation
from tests.fakes.world import PointWorld

HORIZON, WIDTH, USED = 6, 12, 8


class _Cache(list[tuple[torch.Tensor, torch.Tensor, None]]):
    pass


class _Model(torch.nn.Module):
    """A field that depends on the prefix, row by row, in LeRobot's time."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(0.5))
        self.leak = 0.0

    def denoise_step(self, prefix_pad_masks, past_key_values, x_t, timestep) -> torch.Tensor:
        prefix = past_key_values[0][0].mean(dim=(1, 2, 3))
        v = x_t * self.weight + (prefix + timestep)[:, None, None]
        return v + self.leak * x_t.mean()


class _Policy(torch.nn.Module):
    """The parts of LeRobot's interface that the adapter uses."""

    def __init__(self) -> None:
        super().__init__()
        self.model = _Model()
        picture = SimpleNamespace(shape=(3, 56, 56))
        self.config = SimpleNamespace(
            image_features={"observation.images.base": picture, "observation.images.empty_camera_0": picture},
            input_features={"observation.state": SimpleNamespace(shape=(8,))},
            output_features={"action": SimpleNamespace(shape=(USED,))},
            chunk_size=HORIZON,
            max_action_dim=WIDTH,
            num_inference_steps=5,
            n_action_steps=4,
        )
        self.error = 0.0

    def predict_action_chunk(self, batch: dict[str, Any], noise: torch.Tensor | None = None) -> torch.Tensor:
        level = batch["observation.images.base"].mean() + batch["observation.state"].sum()
        cache = _Cache([(torch.ones(1, 1, 3, 4) * level, torch.ones(1, 1, 3, 4) * level, None)])
        x = torch.zeros(1, HORIZON, WIDTH) if noise is None else noise
        for k in range(5):
            t = torch.full((len(x),), 1.0 - k / 5)
            mask = torch.tensor([[True, True, False]])
            x = x - 0.2 * self.model.denoise_step(mask, past_key_values=cache, x_t=x, timestep=t)
        return x[..., :USED] + self.error


def _before(raw: dict[str, Any]) -> dict[str, Any]:
    return {k: v[None] for k, v in raw.items() if isinstance(v, torch.Tensor)}


def _wrap(policy: Any, **changes: Any) -> LerobotPolicy:
    settings = {
        "before": _before,
        "after": lambda x: x * 0.5 + 0.1,
        "preset": PRESETS["pi05_droid"],
        "name": "stand-in",
        "fingerprint": "f",
    }
    return LerobotPolicy(policy, **(settings | changes))


@covers("policy", "lerobot")  # a stand-in for LeRobot
class TestLerobotPolicy(FlowPolicyContract):
    def make(self) -> FlowPolicy:
        return _wrap(_Policy())

    def observation(self) -> Observation:
        return make_observation()


def test_the_adapter_samples_like_the_wrapped_policy_and_reads_its_units() -> None:
    policy = _wrap(_Policy())
    assert (policy.spec.horizon, policy.spec.width, policy.spec.integration_steps) == (HORIZON, WIDTH, 5)
    assert policy.spec.cameras == ("left",)
    np.testing.assert_allclose(policy.spec.action_space.scale, 0.5, atol=1e-6)
    np.testing.assert_allclose(policy.spec.action_space.offset, 0.1, atol=1e-6)
    context = policy.encode(make_observation())
    assert context.features.shape == (policy.spec.feature_size,) == (8,)


def test_steering_leaves_padding_to_the_seeded_noise() -> None:
    policy = _wrap(_Policy())
    commanded = torch.zeros(3, WIDTH, dtype=torch.bool)
    commanded[:, :7] = True
    reference = Reference(torch.zeros(3, HORIZON, WIDTH), commanded)
    steered = policy.steer(policy.encode(make_observation()), reference, SteeringPlan(seed=4, steps=5))
    fresh = gaussian((1, HORIZON, WIDTH), seed=4).expand(3, -1, -1)
    assert torch.equal(steered.noise[..., 7:], fresh[..., 7:])


def test_whatever_the_checkpoint_gives_the_robots_limits_are_kept_without_any_window() -> None:
    policy = _wrap(_Policy(), after=lambda x: x * 40.0)
    space = policy.spec.action_space
    noise = 30.0 * gaussian((4, HORIZON, WIDTH), seed=1)
    chunks = policy.to_robot(policy.denoise(policy.encode(make_observation()), noise))
    assert (chunks >= space.low).all()
    assert (chunks <= space.high).all()
    guard = GuardedWorld(PointWorld())
    q = guard.observe().q
    for row in chunks[0]:
        guard.step(row, space.kind)
        moved = guard.observe().q
        assert np.abs(moved - q).max() <= JOINT_STEP + 1e-6
        assert (moved >= kinematics.Q_LOW).all()
        assert (moved <= kinematics.Q_HIGH).all()
        q = moved


def test_a_sampler_that_disagrees_is_refused() -> None:
    policy = _Policy()
    policy.error = 0.01
    with pytest.raises(PolicyError, match=r"differ by 0\.01 from LeRobot's own sampler"):
        _wrap(policy)


def test_rows_that_influence_each_other_are_refused() -> None:
    policy = _Policy()
    policy.model.leak = 3.0
    with pytest.raises(PolicyError, match="Self-test"):
        _wrap(policy)


def test_a_post_processor_that_is_not_affine_is_refused() -> None:
    with pytest.raises(ConfigError, match="not one offset and scale"):
        _wrap(_Policy(), after=lambda x: x**3 + x)


def test_sizes_that_do_not_fit_the_preset_are_refused() -> None:
    with pytest.raises(ConfigError, match="8 action numbers, preset 'pi05_libero' means 7"):
        _wrap(_Policy(), preset=PRESETS["pi05_libero"])


@pytest.mark.parametrize("is_relative", [False, True])
def test_offsets_and_absolute_joints_are_not_mixed_up(is_relative: bool) -> None:
    policy = _Policy()
    policy.config.use_relative_actions = is_relative
    preset = PRESETS["pi05_droid_jointpos_absolute" if is_relative else "pi05_droid_jointpos_polaris"]
    with pytest.raises(ConfigError, match=f"use_relative_actions is {'' if is_relative else 'not '}true"):
        _wrap(policy, preset=preset)


def test_absolute_joints_are_taken_as_they_are() -> None:
    policy = _wrap(_Policy(), preset=PRESETS["pi05_droid_jointpos_absolute"])
    assert policy.spec.action_space.kind is ActionKind.JOINT_POSITION


def test_a_picture_whose_name_does_not_tell_its_camera_is_asked_for() -> None:
    policy = _Policy()
    table = policy.config.image_features
    policy.config.image_features = {"observation.images.top": table["observation.images.base"], **table}
    with pytest.raises(ConfigError, match=r"which camera observation\.images\.top is"):
        _wrap(policy)
    wrapped = _wrap(policy, cameras="top=right,base=left")
    assert wrapped.spec.camera_pairing == (("observation.images.top", "right"), ("observation.images.base", "left"))


def test_statistics_give_the_range_and_may_contradict_the_preset() -> None:
    low, high = np.full(8, -0.6), np.full(8, 0.4)
    spec = _wrap(_Policy(), statistics=({}, {"q01": low, "q99": high})).spec
    np.testing.assert_allclose(spec.action_low, low, atol=1e-6)
    np.testing.assert_allclose(spec.action_high, high, atol=1e-6)
    with pytest.raises(ConfigError, match=r"centre on -2\.10"):
        _wrap(_Policy(), statistics=({}, {"q01": low - 2.0, "q99": high - 2.0}))


def test_a_missing_lerobot_gives_the_install_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lerobot", None)
    monkeypatch.setitem(sys.modules, "lerobot.configs", None)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ConfigError, match=r"pip install 'frs-cockpit\[lerobot\]'"):
        load(tmp_path)


def _make(name: str, **config: Any) -> Any:
    pytest.importorskip("lerobot", reason="needs LeRobot in this environment (Python >= 3.12)")
    from tests.fakes import lerobot_tiny

    return getattr(lerobot_tiny, f"tiny_{name}")(**config)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pi05", "pi0", "smolvla"])
def test_lerobots_own_policies_pass_the_self_test_and_steer(name: str) -> None:
    pytest.importorskip("lerobot", reason="needs LeRobot in this environment (Python >= 3.12)")
    from tests.fakes.lerobot_tiny import before, features

    inner = _make(name, **features(image=64 if name == "smolvla" else 56))
    policy = _wrap(inner, before=before(inner), name=name)
    context = policy.encode(make_observation())
    commanded = torch.zeros(4, policy.spec.width, dtype=torch.bool)
    commanded[:, :7] = True
    reference = Reference(0.3 * gaussian((4, policy.spec.horizon, policy.spec.width), seed=1), commanded)
    together = policy.steer(context, reference, SteeringPlan())
    alone = policy.steer(context, Reference(reference.x[1:2], commanded[1:2]), SteeringPlan())
    assert float((together.chunk[1:2] - alone.chunk).abs().max()) < 1e-4
    assert float((policy.denoise(context, together.noise) - together.chunk).abs().max()) < 1e-5


@pytest.mark.slow
def test_native_pi05_equals_the_installed_lerobot(tmp_path: Path) -> None:
    pytest.importorskip("lerobot", reason="needs LeRobot in this environment (Python >= 3.12)")
    from safetensors.torch import save_file

    from frs_core.policies.pi05.layout import Layout
    from frs_core.policies.pi05.model import Pi05Model
    from frs_core.policies.pi05.sizes import problems_of, size_of
    from frs_core.policies.pi05.weights import FileSource, read_header
    from tests.fakes.lerobot_tiny import before, features

    inner = _make("pi05", **features(image=56), empty_cameras=1)
    path = tmp_path / "model.safetensors"
    save_file({k: v.clone().contiguous() for k, v in inner.state_dict().items()}, path)
    load_strictly(inner, path)
    shapes = {k.removeprefix("model."): v for k, v in read_header(path).items()}
    size = size_of(shapes)
    assert problems_of(shapes, size) == []
    source = FileSource(path, device=torch.device("cpu"), dtype=torch.float32)
    adapter = _wrap(inner, before=before(inner))
    observation = make_observation()
    batch = adapter._batch(observation)
    pictures = torch.cat([batch[f"observation.images.{k}"] for k in ("base", "wrist")]) * 2.0 - 1.0
    words = batch["observation.language.tokens"][0][batch["observation.language.attention_mask"][0]]
    x = gaussian((5, 15, 32), seed=3)
    context = adapter.encode(observation)
    with torch.inference_mode():
        own = Pi05Model(source, size)
        layout = Layout(own.encode(pictures, words)[0], batch=5, horizon=15)
        for t in (0.0, 0.1, 0.5, 0.95, 1.0):
            difference = own.velocity(layout, x, t) - adapter.velocity(context, x, t)
            assert float(difference.abs().max()) < 1e-5


def test_an_adapter_is_not_taken_for_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="Download the whole repository"):
        load(tmp_path, preset="pi05_droid")
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(WeightsMissing, match=r"holds a PEFT adapter.*merge_and_unload\(\)"):
        load(tmp_path, preset="pi05_droid")
