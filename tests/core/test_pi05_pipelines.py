"""The pipelines that LeRobot saves with a checkpoint are read, and held against its config.json."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from frs_core.policies.pi05 import load, tokens
from frs_core.policies.pi05.checkpoint import inspect_checkpoint
from frs_core.policies.pi05.lerobot_pipelines import renamed_inputs
from frs_core.policies.pi05.policy import Pi05Policy
from frs_core.policies.pi05.tokens import prompt_parts
from tests.fakes.pi05 import make_checkpoint, make_observation

PRE, POST = "policy_preprocessor.json", "policy_postprocessor.json"
RELATIVE, ABSOLUTE = "relative_actions_processor", "absolute_actions_processor"
NORMALISE, PROMPT, TOKENISE, UNNORMALISE = (
    "normalizer_processor",
    "pi05_prepare_state_tokenizer_processor_step",
    "tokenizer_processor",
    "unnormalizer_processor",
)
JOINTS = [*(f"joint_{i}" for i in range(7)), "gripper"]


def make_saved(root: Path, *, is_new: bool = False, **changes: object) -> Path:
    """Write a checkpoint with both pipelines as LeRobot's own factory writes them; return its folder.

    Args:
        root: where to put it.
        is_new: as LeRobot from 0.5.1 on, with the steps of relative actions and a copy of the tokenizer.
        changes: settings of config.json, from which LeRobot makes the steps.
    """
    folder = make_checkpoint(root, name="pi05_droid", family="lerobot")
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))
    features = config["input_features"] | config["output_features"]
    norm = {"eps": 1e-08, "features": features, "norm_map": config["normalization_mapping"]}
    stats = "policy_preprocessor_step_3_normalizer_processor.safetensors"
    theirs = "policy_postprocessor_step_0_unnormalizer_processor.safetensors"
    shutil.copy(folder / stats, folder / theirs)
    is_relative = config.get("use_relative_actions", False)
    names = {
        "exclude_joints": config.get("relative_exclude_joints", ["gripper"]),
        "action_names": config.get("action_feature_names"),
    }
    tokenizer: dict[str, Any] = {
        "max_length": 200,
        "task_key": "task",
        "padding_side": "right",
        "padding": "max_length",
        "truncation": True,
        "tokenizer_name": "tokenizer" if is_new else "google/paligemma-3b-pt-224",
    }
    before: list[dict[str, Any]] = [
        step("rename_observations_processor", rename_map={}),
        step("to_batch_processor"),
        *([step(RELATIVE, enabled=is_relative, **names)] if is_new else []),
        step(NORMALISE, **norm) | {"state_file": stats},
        step(PROMPT, **({"max_state_dim": 32, "task_key": "task", "include_state_in_prompt": True} if is_new else {})),
        step(TOKENISE, **tokenizer) | ({"artifacts": {"tokenizer_name": "tokenizer"}} if is_new else {}),
        step("device_processor", device="cuda", float_dtype=None),
    ]
    after: list[dict[str, Any]] = [
        step(UNNORMALISE, **(norm | {"features": config["output_features"]})) | {"state_file": theirs},
        *([step(ABSOLUTE, enabled=is_relative)] if is_new else []),
        step("device_processor", device="cpu", float_dtype=None),
    ]
    for file, steps in ((PRE, before), (POST, after)):
        (folder / file).write_text(json.dumps({"name": file.removesuffix(".json"), "steps": steps}, indent=2))
    return folder


def step(name: str, **config: object) -> dict[str, Any]:
    return {"registry_name": name, "config": config}


def change(folder: Path, file: str, edit: Callable[[list[dict[str, Any]]], object]) -> None:
    saved = json.loads((folder / file).read_text())
    edit(saved["steps"])
    (folder / file).write_text(json.dumps(saved))


def settings(name: str, **changes: object) -> Callable[[list[dict[str, Any]]], object]:
    return lambda steps: next(s for s in steps if s["registry_name"] == name)["config"].update(changes)


def without(name: str) -> Callable[[list[dict[str, Any]]], object]:
    return lambda steps: steps.remove(next(s for s in steps if s["registry_name"] == name))


@pytest.mark.parametrize("is_new", [False, True])
def test_the_pipelines_that_lerobot_writes_are_taken_without_a_remark(tmp_path, is_new) -> None:
    folder = make_saved(tmp_path, is_new=is_new)
    found = inspect_checkpoint(folder)
    assert found.problems == []
    assert [note for note in found.notes if not note.startswith("Statistics from")] == []
    policy = load(folder, device="cpu")
    zeros = torch.zeros(1, policy.spec.horizon, policy.spec.width)
    assert bool(torch.isfinite(policy.denoise(policy.encode(make_observation()), zeros)).all())


def prompt_of(policy: Pi05Policy, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the numbers of the state in the prompt that a policy encodes."""
    seen: list[str] = []

    def recorded(*args: Any) -> tuple[str, ...]:
        seen.extend(parts := prompt_parts(*args))
        return parts

    monkeypatch.setattr(tokens, "prompt_parts", recorded)
    policy.encode(make_observation())
    return seen[-1].split("State: ")[1].split(";")[0].split()


def test_a_prompt_is_padded_as_lerobot_0_4_did_where_it_is_said(tmp_path, monkeypatch, caplog) -> None:
    folder = make_saved(tmp_path)
    own = prompt_of(load(folder, device="cpu"), monkeypatch)
    assert len(own) == 8
    assert "give --prompt-state-size 32" in caplog.text
    caplog.clear()
    padded = load(folder, device="cpu", prompt_state_size=32)
    # Source: LeRobot 0.4.4 processor_pi05.py, which pads the normalised state with zeros and takes its bins afterwards.
    assert prompt_of(padded, monkeypatch) == [*own, *["128"] * 24]
    assert caplog.text == ""
    assert padded.spec.fingerprint != load(folder, device="cpu").spec.fingerprint


def test_a_checkpoint_that_shows_a_later_lerobot_is_read_without_a_remark(tmp_path) -> None:
    assert inspect_checkpoint(make_saved(tmp_path, is_new=True, use_relative_actions=False)).assumed_notes == []
    old = inspect_checkpoint(make_saved(tmp_path / "old"))
    assert ["LeRobot trained the checkpoint, 0.4 or 0.5.0" in note for note in old.assumed_notes] == [True]
    assert inspect_checkpoint(old.root, prompt_state_size=8).assumed_notes == []


@pytest.mark.parametrize(
    ("family", "name", "size", "words"),
    [
        ("lerobot", "pi05_droid", 16, "expected 8, the state's own numbers, or 32"),
        ("openpi", "pi05_droid", 32, "has the state's own 8 numbers. Leave it out"),
        ("openpi", "pi05_libero", 8, "has no state. Leave it out"),
    ],
)
def test_a_size_of_the_prompts_state_that_nobody_trains_with_is_refused(tmp_path, family, name, size, words) -> None:
    folder = make_checkpoint(tmp_path, name=name, family=family, sizes=(8, 7 if "libero" in name else 8))
    problems = inspect_checkpoint(folder, prompt_state_size=size).problems
    assert any(f"--prompt-state-size is {size}" in p and words in p for p in problems)


@pytest.mark.parametrize("names", [["gripper", *JOINTS[:7]], ["x", "y", "z", "roll", "pitch", "yaw", "gripper", "end"]])
def test_names_of_actions_that_contradict_the_preset_are_refused(tmp_path, names) -> None:
    folder = make_saved(tmp_path, is_new=True, action_feature_names=names)
    (problem,) = inspect_checkpoint(folder).problems
    assert (
        f"number 1 is called '{names[0]}', where joint 1's speed belongs (action_feature_names of config.json)"
        in problem
    )


def test_names_of_actions_that_agree_with_one_preset_are_refused_by_another(tmp_path) -> None:
    names = [*(f"joint_position_{i}" for i in range(1, 8)), "gripper_position"]
    folder = make_saved(tmp_path, is_new=True, action_feature_names=names)
    (problem,) = inspect_checkpoint(folder, preset="pi05_droid").problems
    assert "number 1 is called 'joint_position_1', where joint 1's speed belongs" in problem
    assert not any("is called" in p for p in inspect_checkpoint(folder, preset="pi05_droid_jointpos_absolute").problems)


def at_base_width(root: Path, *, sizes: tuple[int, int] = (8, 8)) -> Path:
    """Write what lerobot-train leaves where it began at pi05_base: the features of the base, the statistics of the data set."""
    folder = make_checkpoint(root, name="pi05_droid", family="lerobot", sizes=sizes)
    config = json.loads((folder / "config.json").read_text())
    config["input_features"]["observation.state"]["shape"] = config["output_features"]["action"]["shape"] = [32]
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_the_width_of_a_base_says_nothing_of_the_robot(tmp_path) -> None:
    found = inspect_checkpoint(at_base_width(tmp_path))
    assert found.problems == []
    for group in ("state", "action"):
        assert any(
            f"config.json gives the {group} 32 numbers" in note and "its statistics are judged" in note
            for note in found.notes
        )
    assert load(found.root, device="cpu").spec.action_space.size == 8


@pytest.mark.parametrize("sizes", [(14, 14), (7, 7)])
def test_statistics_of_another_robot_are_refused_beside_a_bases_width(tmp_path, sizes) -> None:
    problems = inspect_checkpoint(at_base_width(tmp_path, sizes=sizes)).problems
    assert any(f"have {sizes[0]} numbers" in problem for problem in problems)


def test_a_bases_width_without_statistics_is_refused(tmp_path) -> None:
    folder = at_base_width(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["normalization_mapping"]["STATE"] = "IDENTITY"
    (folder / "config.json").write_text(json.dumps(config))
    assert any("The state size is 32, pi05_droid needs 8" in problem for problem in inspect_checkpoint(folder).problems)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("pi0", "is a 'pi0', not a pi05. Load it with the policy 'lerobot' (--policy lerobot)."),
        ("smolvla", "is a 'smolvla', not a pi05. Load it with the policy 'lerobot'"),
        ("act", "is a 'act', which is not supported: only pi05 is, and smolvla and pi0 with the policy 'lerobot'."),
        ("groot", "is a 'groot', which is not supported"),
    ],
)
def test_a_policy_of_another_type_is_sent_to_lerobots_only_where_that_takes_it(tmp_path, kind, words) -> None:
    (problem,) = inspect_checkpoint(make_saved(tmp_path, type=kind)).problems
    assert words in problem


def test_statistics_of_the_other_family_are_called_so(tmp_path) -> None:
    theirs, ours = make_checkpoint(tmp_path / "a"), make_saved(tmp_path / "b")
    norm_stats = theirs / "assets/droid/norm_stats.json"
    (stats,) = ours.glob("policy_pre*.safetensors")
    (problem,) = inspect_checkpoint(theirs, norm_stats=stats).problems
    assert (
        "are a safetensors file, as LeRobot writes it; those of a checkpoint of openpi are norm_stats.json" in problem
    )
    (problem,) = inspect_checkpoint(ours, norm_stats=norm_stats).problems
    assert (
        "is JSON, as of openpi's checkpoints or of a data set; a LeRobot checkpoint's are a safetensors file" in problem
    )
    (problem,) = inspect_checkpoint(ours, norm_stats=norm_stats.parent).problems
    assert "assets/droid' is a folder, expected a file. Give the file itself." in problem


def test_names_of_actions_that_say_nothing_or_are_none(tmp_path) -> None:
    assert inspect_checkpoint(make_saved(tmp_path / "a", is_new=True, action_feature_names=JOINTS)).problems == []
    (problem,) = inspect_checkpoint(make_saved(tmp_path / "b", is_new=True, action_feature_names="joint")).problems
    assert "has action_feature_names = 'joint', expected a list of names" in problem


def test_relative_actions_that_both_state_are_taken(tmp_path) -> None:
    folder = make_saved(tmp_path, is_new=True, use_relative_actions=True, action_feature_names=JOINTS)
    assert inspect_checkpoint(folder, preset="pi05_droid_jointpos_polaris").problems == []


@pytest.mark.parametrize(
    ("file", "edit", "words"),
    [
        (PRE, settings(RELATIVE, enabled=True), f"'{PRE}' has enabled = True in {RELATIVE}"),
        (POST, settings(ABSOLUTE, enabled=True), f"'{POST}' has enabled = True in {ABSOLUTE}"),
        (
            PRE,
            settings(NORMALISE, norm_map={"STATE": "MEAN_STD", "ACTION": "MEAN_STD"}),
            r"normalises the state by MEAN_STD \(norm_map of normalizer_processor\), config.json says QUANTILES",
        ),
        (POST, settings(UNNORMALISE, norm_map={"ACTION": "MIN_MAX"}), "normalises actions by MIN_MAX"),
        (POST, settings(UNNORMALISE, norm_map={}), "normalises actions by IDENTITY"),
        (PRE, settings(NORMALISE, eps=0.1), "eps = 0.1 in normalizer_processor, supported is 1e-08"),
        (PRE, settings(NORMALISE, features={}), "leaves observation.state out"),
        (PRE, settings(NORMALISE, normalize_observation_keys=[]), "leaves observation.state out"),
        (PRE, settings(NORMALISE, stats={"action": {"q01": [0]}}), "stats = .* in normalizer_processor"),
        (PRE, lambda steps: steps.append(steps[3]), "the step normalizer_processor 2 times, expected once"),
        (PRE, lambda steps: steps.insert(5, steps.pop(3)), "has its steps in the order"),
        (PRE, lambda steps: steps.insert(0, {"class": "lab.FlipImage"}), "has the step 'lab.FlipImage', which"),
        (PRE, lambda steps: steps.insert(0, step("image_crop_resize_processor")), "the step 'image_crop_resize_proce"),
        (POST, lambda steps: steps.append(step("scale_actions", factor=0.1)), "the step 'scale_actions', which"),
        (PRE, lambda steps: steps.append({"config": {}}), "has a step without a name"),
        (PRE, settings(TOKENISE, tokenizer_name="google/gemma-3-4b"), "tokenizer_name = 'google/gemma-3-4b'"),
        (PRE, settings(TOKENISE, max_length=48), "max_length = 48 in tokenizer_processor, supported is 200"),
        (PRE, settings(TOKENISE, padding_side="left"), "padding_side = 'left'"),
        (PRE, settings(PROMPT, include_state_in_prompt=False), "include_state_in_prompt = False"),
        (PRE, settings(PROMPT, bins=512), "bins = 512 in .*, a setting that is not known here"),
        (PRE, without(PROMPT), "has tokenizer_processor without pi05_prepare_state"),
        (POST, without(UNNORMALISE), "names no statistics file"),
        (POST, lambda steps: steps[0].pop("state_file"), "names no statistics file"),
    ],
)
def test_a_pipeline_that_does_something_else_than_its_configuration_says_is_refused(
    tmp_path, file, edit, words
) -> None:
    folder = make_saved(tmp_path, is_new=True)
    change(folder, file, edit)
    problems = inspect_checkpoint(folder).problems
    assert any(re.search(words, problem) for problem in problems), problems


def test_offsets_of_the_gripper_that_the_configuration_leaves_out_are_refused(tmp_path) -> None:
    folder = make_saved(tmp_path, is_new=True, use_relative_actions=True, action_feature_names=JOINTS)
    change(folder, PRE, settings(RELATIVE, exclude_joints=[]))
    (problem,) = inspect_checkpoint(folder, preset="pi05_droid_jointpos_polaris").problems
    assert f"'{PRE}' makes the gripper too an offset" in problem


@pytest.mark.parametrize(("file", "name"), [(PRE, RELATIVE), (POST, ABSOLUTE)])
def test_relative_actions_that_no_step_carries_out_are_refused(tmp_path, file, name) -> None:
    folder = make_saved(tmp_path, is_new=True, use_relative_actions=True, action_feature_names=JOINTS)
    change(folder, file, without(name))
    (problem,) = inspect_checkpoint(folder, preset="pi05_droid_jointpos_polaris").problems
    assert f"'{file}' has no step {name}, and use_relative_actions of config.json is true" in problem


def test_statistics_that_the_two_pipelines_do_not_share_are_refused_until_one_is_given(tmp_path) -> None:
    folder = make_saved(tmp_path)
    (file,) = folder.glob("policy_postprocessor_*.safetensors")
    stored = load_file(file)
    save_file(stored | {"action.std": stored["action.std"] * 2}, file)
    (problem,) = inspect_checkpoint(folder).problems
    assert "hold different statistics of actions" in problem
    (given,) = folder.glob("policy_preprocessor_*.safetensors")
    assert inspect_checkpoint(folder, norm_stats=given).problems == []


def test_a_pointer_in_the_place_of_a_pipeline_is_called_one(tmp_path) -> None:
    folder = make_saved(tmp_path)
    (folder / POST).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n")
    (problem,) = inspect_checkpoint(folder).problems
    assert f"'{POST}' is a Git LFS pointer" in problem


def test_pipelines_that_are_not_there_are_said_to_be_missing(tmp_path) -> None:
    folder = make_saved(tmp_path)
    (folder / POST).unlink()
    change(folder, PRE, lambda steps: steps.__delitem__(slice(3, None)))
    notes = inspect_checkpoint(folder).notes
    assert any(f"No '{POST}', which LeRobot saves with the weights" in note for note in notes)
    assert any(f"'{PRE}' has no step {TOKENISE}: LeRobot's usual prompt" in note for note in notes)


@pytest.mark.parametrize("mapping", [{}, {"ACTION": "MEAN_STD"}])
def test_what_a_mapping_leaves_out_is_not_normalised_as_in_lerobot(tmp_path, mapping) -> None:
    folder = make_saved(tmp_path, normalization_mapping=mapping)
    found = inspect_checkpoint(folder)
    assert found.problems == []
    assert found.state is not None
    np.testing.assert_array_equal(found.state.scale, 1.0)
    assert any("normalization_mapping of config.json has no STATE" in note for note in found.notes)


def test_a_configuration_without_a_mapping_has_the_one_of_lerobots_pi05(tmp_path) -> None:
    folder = make_saved(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    del config["normalization_mapping"]
    (folder / "config.json").write_text(json.dumps(config))
    assert any("normalises actions by MEAN_STD" in p for p in inspect_checkpoint(folder).problems)
    for file, name in ((PRE, NORMALISE), (POST, UNNORMALISE)):
        change(folder, file, settings(name, norm_map={"STATE": "QUANTILES", "ACTION": "QUANTILES"}))
    assert inspect_checkpoint(folder).problems == []


def test_an_input_that_is_renamed_twice_is_known_by_its_first_name(tmp_path) -> None:
    folder = make_saved(tmp_path)
    change(folder, PRE, lambda steps: steps.insert(0, step("rename_observations_processor", rename_map={"a": "b"})))
    change(folder, PRE, lambda steps: steps[1]["config"].update(rename_map={"b": "c"}))
    assert renamed_inputs(folder) == {"c": "a"}


def images(**types: str) -> dict[str, object]:
    inputs = {name: {"type": kind, "shape": [3, 56, 56]} for name, kind in types.items()}
    return {**inputs, "observation.state": {"type": "STATE", "shape": [8]}}


@pytest.mark.parametrize("name", ["observation.image", "cam_top", "observation.images.my_empty_camera_view"])
def test_an_image_input_is_one_by_its_type_and_is_refused_by_name_where_no_camera_is_known_for_it(
    tmp_path, name
) -> None:
    folder = make_saved(tmp_path, input_features=images(**{name: "VISUAL", "observation.images.wrist": "VISUAL"}))
    (problem,) = inspect_checkpoint(folder).problems
    assert f"The names do not say which camera {name} is" in problem
    given = f"{name}=left,observation.images.wrist=wrist"
    assert inspect_checkpoint(folder, cameras=given).pairing == ((name, "left"), ("observation.images.wrist", "wrist"))


def test_inputs_that_the_network_does_not_look_at_are_said(tmp_path) -> None:
    inputs = images(**{"observation.images.wrist": "VISUAL", "observation.environment_state": "ENV"})
    outputs = {name: {"type": "ACTION", "shape": [8]} for name in ("action", "action.torque")}
    notes = inspect_checkpoint(make_saved(tmp_path, input_features=inputs, output_features=outputs)).notes
    assert "Outputs of config.json that pi05 does not give: action.torque." in notes
    assert "Inputs of config.json that pi05 does not look at: observation.environment_state." in notes


def test_an_input_without_a_type_is_refused_and_no_second_problem_follows_from_it(tmp_path) -> None:
    folder = make_saved(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    del config["input_features"]["observation.images.base"]["type"]
    (folder / "config.json").write_text(json.dumps(config))
    (problem,) = inspect_checkpoint(folder, cameras="base=left,wrist=wrist").problems
    assert "does not state the type of its input 'observation.images.base'" in problem
