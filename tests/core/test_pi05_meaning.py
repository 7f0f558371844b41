"""What a checkpoint means on a robot: said by a note, a preset or an exact published name, contradicted by statistics."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from frs_core.commands.policy import check, fetch
from frs_core.errors import ConfigError
from frs_core.policies.joints import in_action_space
from frs_core.policies.pi05 import inspect_checkpoint, load
from frs_core.policies.pi05.presets import PRESETS
from frs_core.robot.actions import ActionKind
from frs_core.wire.metadata import build_metadata, read_metadata
from tests.fakes.pi05 import FIXTURE, HORIZON, make_checkpoint, make_observation
from tests.fakes.policy import ToyPolicy

HOME = np.array([0.0, -0.5, 0.0, -2.2, 0.0, 1.9, 0.1, 0.5])
POLARIS, ABSOLUTE = "pi05_droid_jointpos_polaris", "pi05_droid_jointpos_absolute"


def configure(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def pictures(*names: str) -> dict[str, object]:
    inputs: dict[str, object] = {
        f"observation.images.{name}": {"type": "VISUAL", "shape": [3, 56, 56]} for name in names
    }
    return inputs | {"observation.state": {"type": "STATE", "shape": [8]}}


def centre_statistics(folder: Path, *, state: np.ndarray, actions: np.ndarray, width: float = 0.5) -> None:
    path = folder / "assets/droid/norm_stats.json"
    groups = {
        name: {"q01": (c - width).tolist(), "q99": (c + width).tolist(), "mean": c.tolist(), "std": [width] * len(c)}
        for name, c in (("state", state), ("actions", actions))
    }
    path.write_text(json.dumps({"norm_stats": groups}))


@pytest.mark.parametrize(
    "name",
    [
        "pi05_droid_jointpos",
        "pi05-droid",
        "PI05_DROID",
        "pi05_droid_ee_delta",
        "pi05_droid_ur5",
        "my_pi05_droid_bimanual",
        "pi05_droid_jointpos_polaris_v2",
        "pi05_full_droid_finetune",
    ],
)
def test_a_name_that_is_not_exactly_a_published_one_says_nothing(tmp_path: Path, name: str) -> None:
    checkpoint = inspect_checkpoint(make_checkpoint(tmp_path, name=name))
    assert checkpoint.preset is None
    (problem,) = checkpoint.problems
    assert all(f"{name}: {preset.summary}" in problem for name, preset in PRESETS.items())


def test_check_says_where_the_meaning_comes_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_checkpoint(tmp_path)
    assert check(folder) == 0
    assert "joint_velocity at 15 Hz, taken from its published name" in capsys.readouterr().out
    (folder / "frs_policy.json").write_text(json.dumps({"preset": POLARIS, "source": "here"}))
    assert check(folder) == 0
    assert "joint_position at 15 Hz, taken from its note frs_policy.json" in capsys.readouterr().out
    assert check(folder, preset="pi05_droid", cameras="base_0_rgb=right") == 0
    text = capsys.readouterr().out
    assert "joint_velocity at 15 Hz, as given" in text
    assert "base_0_rgb <- right, left_wrist_0_rgb <- wrist, right_wrist_0_rgb <- none" in text
    assert text.rstrip().endswith("preset pi05_droid cameras base_0_rgb=right")


def test_conversion_writes_no_meaning_that_nobody_gave(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources = [tmp_path / name for name in ("pi05_droid_jointpos", "pi05_droid")]
    for source in sources:
        shutil.copytree(FIXTURE / "openpi_jax" / "params", source / "params")
        shutil.copytree(make_checkpoint(tmp_path / f"{source.name}.other") / "assets", source / "assets")
    out = tmp_path / "weights"
    with pytest.raises(ConfigError, match="nothing is guessed"):
        fetch(convert=sources[0], out=out)
    assert not out.exists()
    fetch(convert=sources[0], out=out, preset=POLARIS)
    assert json.loads((out / "pi05_droid_jointpos/frs_policy.json").read_text())["preset"] == POLARIS
    fetch(convert=sources[1], out=out)
    assert "taken from its published name" in capsys.readouterr().out
    assert json.loads((out / "pi05_droid/frs_policy.json").read_text())["preset"] == "pi05_droid"
    with pytest.raises(ConfigError, match="into itself"):
        fetch(convert=sources[1], out=tmp_path)
    with pytest.raises(ConfigError, match="nothing is guessed"):
        fetch(hub="somebody/pi05_droid", out=out)


@pytest.mark.parametrize(
    ("preset", "actions", "sentence"),
    [
        ("pi05_droid", HOME, "joint 4 centre on -2.20"),
        (POLARIS, HOME, "joint 4 centre on -2.20"),
        (ABSOLUTE, np.zeros(8), "joint 4 centre on 0.00"),
        ("pi05_droid", None, "reach 2.50"),
    ],
)
def test_statistics_that_contradict_a_meaning_veto_it(
    tmp_path: Path, preset: str, actions: np.ndarray | None, sentence: str
) -> None:
    folder = make_checkpoint(tmp_path, name="weights")
    if actions is None:
        centre_statistics(folder, state=HOME, actions=np.zeros(8), width=2.5)
    else:
        centre_statistics(folder, state=HOME, actions=actions)
    (problem,) = inspect_checkpoint(folder, preset=preset).problems
    assert sentence in problem


@pytest.mark.parametrize(("preset", "actions"), [("pi05_droid", np.zeros(8)), (POLARIS, np.zeros(8)), (ABSOLUTE, HOME)])
def test_statistics_never_choose_a_meaning(tmp_path: Path, preset: str, actions: np.ndarray) -> None:
    folder = make_checkpoint(tmp_path, name="weights")
    centre_statistics(folder, state=HOME, actions=actions)
    assert inspect_checkpoint(folder, preset=preset).problems == []
    assert inspect_checkpoint(folder).preset is None


def test_two_arms_are_not_one(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, sizes=(14, 14))
    assert "have 14 numbers, pi05_droid has 8" in inspect_checkpoint(folder).problems[0]


def test_padded_statistics_are_one_arms(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path)
    path = folder / "assets/droid/norm_stats.json"
    data = json.loads(path.read_text())
    for group in data["norm_stats"].values():
        for name, numbers in group.items():
            group[name] = numbers + [1.0 if name == "std" else 0.0] * 24
    path.write_text(json.dumps(data))
    assert inspect_checkpoint(folder).problems == []


@pytest.mark.parametrize("preset", [POLARIS, "pi05_full_droid_finetune"])
def test_absolute_joints_are_not_added_to_the_arms(tmp_path: Path, preset: str) -> None:
    folder = make_checkpoint(tmp_path, name="my_droid_pi05", family="lerobot")
    configure(folder, use_relative_actions=False)
    (problem,) = inspect_checkpoint(folder, preset=preset).problems
    assert "use_relative_actions is not true" in problem
    assert ABSOLUTE in problem


@pytest.mark.parametrize("preset", [ABSOLUTE, "pi05_droid"])
def test_offsets_are_not_taken_as_they_are(tmp_path: Path, preset: str) -> None:
    folder = make_checkpoint(tmp_path, name="my_droid_pi05", family="lerobot")
    configure(folder, use_relative_actions=True)
    (problem,) = inspect_checkpoint(folder, preset=preset).problems
    assert "use_relative_actions is true" in problem
    assert POLARIS in problem


def raw_chunk(folder: Path, preset: str) -> np.ndarray:
    policy = load(folder, preset=preset, device="cpu")
    observation = make_observation()
    x = policy.denoise(policy.encode(observation), torch.zeros(1, HORIZON, 32))
    return policy.spec.action_space.unnormalise(x[0, :, :8].numpy())


def test_lerobots_relative_actions_get_the_robots_own_state_added(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, name="my_droid_pi05", family="lerobot")
    as_they_are = raw_chunk(folder, ABSOLUTE)
    names = [f"joint_{i}" for i in range(7)] + ["gripper"]
    state = np.append(make_observation().q, 0.0)
    configure(folder, use_relative_actions=True, relative_exclude_joints=["gripper"], action_feature_names=names)
    np.testing.assert_allclose(raw_chunk(folder, POLARIS), as_they_are + state, atol=1e-4)
    assert not inspect_checkpoint(folder, preset=POLARIS).is_gripper_offset
    configure(folder, action_feature_names=None)
    assert inspect_checkpoint(folder, preset=POLARIS).is_gripper_offset
    configure(folder, action_feature_names=names, relative_exclude_joints=["joint_2"])
    assert "leaves joint_2 out" in inspect_checkpoint(folder, preset=POLARIS).problems[0]


def test_pictures_reach_the_input_that_names_them(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, family="lerobot")
    configure(folder, input_features=pictures("wrist_image", "exterior_image_1"))
    policy = load(folder, device="cpu")
    assert policy.spec.cameras == ("wrist", "left")
    assert policy.spec.camera_pairing == (
        ("observation.images.wrist_image", "wrist"),
        ("observation.images.exterior_image_1", "left"),
    )


def test_a_policy_of_one_camera_is_fed_one_picture(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, family="lerobot")
    two = load(folder, device="cpu").encode(make_observation()).payload.cache.length
    configure(folder, input_features=pictures("top"))
    (problem,) = inspect_checkpoint(folder).problems
    assert "image inputs are observation.images.top, the world's cameras left, right, wrist" in problem
    one = load(folder, device="cpu", cameras="top=left")
    assert one.encode(make_observation()).payload.cache.length == two - 16


def test_an_input_that_the_checkpoint_renames_is_known_by_its_former_name(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, family="lerobot")
    path = folder / "policy_preprocessor.json"
    table = {"observation.images.exterior_1_left": "observation.images.camera1"}
    steps = json.loads(path.read_text())["steps"]
    rename = {"registry_name": "rename_observations_processor", "config": {"rename_map": table}}
    path.write_text(json.dumps({"steps": [rename, *steps]}))
    configure(folder, input_features=pictures("wrist", "camera1"))
    assert inspect_checkpoint(folder).pairing[1] == ("observation.images.camera1", "left")


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "policy_preprocessor.json").write_text("{"),
        lambda folder: (folder / "policy_preprocessor.json").write_text('{"steps": 3}'),
        lambda folder: (folder / "policy_preprocessor_step_3_normalizer_processor.safetensors").write_text("version"),
    ],
)
def test_a_spoiled_description_is_a_problem_and_no_crash(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    folder = make_checkpoint(tmp_path, family="lerobot")
    damage(folder)
    assert "Download it again" in inspect_checkpoint(folder).problems[0]


def test_the_range_of_the_training_is_in_robot_units(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path)
    centre_statistics(folder, state=HOME, actions=np.zeros(8))
    speeds, offsets = load(folder, device="cpu").spec, load(folder, preset=POLARIS, device="cpu").spec
    q = make_observation().q
    for spec, start in ((speeds, np.zeros(8)), (offsets, np.append(q, 0.0))):
        low, high = spec.range_at(q)
        np.testing.assert_allclose([low, high], [start - 0.5, start + 0.5], atol=1e-6)
    libero = load(make_checkpoint(tmp_path, name="pi05_libero", family="lerobot", sizes=(8, 7)), device="cpu").spec
    file = tmp_path / "pi05_libero/policy_preprocessor_step_3_normalizer_processor.safetensors"
    assert libero.action_high is not None
    np.testing.assert_allclose(libero.action_high[:3], 0.05 * load_file(file)["action.q99"][:3], rtol=1e-5)


def test_without_quantiles_the_range_is_a_normal_distributions(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, family="lerobot")
    configure(folder, normalization_mapping={"STATE": "MEAN_STD", "ACTION": "MEAN_STD"})
    path = folder / "policy_preprocessor_step_3_normalizer_processor.safetensors"
    stored = {k: v for k, v in load_file(path).items() if "q0" not in k and "q99" not in k}
    save_file(stored, path)
    covered = inspect_checkpoint(folder).covered
    assert covered is not None
    np.testing.assert_allclose(covered[1], stored["action.mean"] + 2.326 * stored["action.std"], rtol=1e-5)


def test_pairing_and_range_travel_with_a_served_policy_and_may_be_absent() -> None:
    policy = ToyPolicy(cameras=("left", "wrist"))
    space = policy.spec.action_space
    spec = replace(
        policy.spec,
        camera_pairing=(("base_0_rgb", "left"), ("right_wrist_0_rgb", "none")),
        action_low=space.low / 2,
        action_high=space.high / 2,
        is_range_from_joints=True,
    )
    message = build_metadata(spec, policy.default_plan)
    facts = read_metadata(message, url="ws://here")
    assert facts is not None
    assert facts.spec.camera_pairing == spec.camera_pairing
    assert facts.spec.is_range_from_joints
    np.testing.assert_array_equal(facts.spec.action_low, spec.action_low)
    np.testing.assert_array_equal(facts.spec.action_high, spec.action_high)
    for name in ("camera_pairing", "action_low", "action_high", "is_range_from_joints"):
        del message["frs"]["spec"][name]
    older = read_metadata(message, url="ws://here")
    assert older is not None
    assert (older.spec.camera_pairing, older.spec.action_low) == ((), None)


def test_a_range_of_tool_deltas_is_not_taken_for_joints() -> None:
    policy = ToyPolicy(cameras=("left", "wrist"))
    space = policy.spec.action_space
    policy.spec = replace(policy.spec, action_low=space.low, action_high=space.high)
    joints = in_action_space(policy, ActionKind.JOINT_POSITION)
    assert joints.spec.range_at(np.zeros(7)) == (None, None)
