"""pi0.5 folders as people have them: loaded where shapes and options suffice, else refused in a sentence; never half read."""

import json
import math
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from frs_core.commands.policy import check
from frs_core.errors import ConfigError, PolicyError, WeightsMissing
from frs_core.making.pi05.convert import convert
from frs_core.policies.pi05 import load, loading
from frs_core.policies.pi05.checkpoint import inspect_checkpoint
from frs_core.policies.pi05.presets import find_preset
from tests.fakes.pi05 import FIXTURE, make_checkpoint, make_observation

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 7233000000\n"


def with_names(folder: Path, rename: Callable[[str], str]) -> Path:
    weights = load_file(folder / "model.safetensors")
    save_file({rename(name): tensor for name, tensor in weights.items()}, folder / "model.safetensors")
    return folder


def works(folder: Path, **options: object) -> None:
    assert inspect_checkpoint(folder, **options).problems == []
    policy = load(folder, device="cpu", **options)
    chunk = policy.denoise(policy.encode(make_observation()), torch.zeros(1, policy.spec.horizon, policy.spec.width))
    assert torch.isfinite(chunk).all()


@pytest.mark.parametrize("family", ["openpi", "lerobot"])
@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "module._orig_mod."])
def test_prefixes_of_compiling_and_distributed_training_are_looked_through(tmp_path, prefix, family) -> None:
    works(with_names(make_checkpoint(tmp_path, family=family), lambda name: prefix + name))


def test_a_prefix_that_nobody_knows_is_no_checkpoint(tmp_path) -> None:
    folder = with_names(make_checkpoint(tmp_path), lambda name: f"student.{name}")
    assert inspect_checkpoint(folder).problems


def test_a_folder_of_openpis_pytorch_trainer_needs_preset_and_horizon(tmp_path) -> None:
    folder = make_checkpoint(tmp_path, name="29999")
    (folder / "config.json").unlink()
    assert "give both --preset and --horizon" in inspect_checkpoint(folder, preset="pi05_droid").problems[0]
    works(folder, preset="pi05_droid", horizon=15)


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("openpi", "model.safetensors"),
        ("openpi", "tokenizer.model"),
        ("openpi", "config.json"),
        ("openpi", "assets/droid/norm_stats.json"),
        ("lerobot", "policy_preprocessor_step_3_normalizer_processor.safetensors"),
    ],
)
def test_a_pointer_of_git_lfs_is_called_one(tmp_path, family, name) -> None:
    folder = make_checkpoint(tmp_path, family=family)
    (folder / name).write_text(POINTER)
    problems = inspect_checkpoint(folder).problems
    assert any(f"'{Path(name).name}' is a Git LFS pointer" in p and "git lfs pull" in p for p in problems)


@pytest.mark.parametrize(("content", "why"), [(b"cut", "not a SentencePiece file"), (b"", r"\(it is empty\)")])
def test_check_finds_a_tokenizer_that_loading_would_refuse(tmp_path, content, why) -> None:
    folder = make_checkpoint(tmp_path)
    (folder / "tokenizer.model").write_bytes(content)
    (problem,) = inspect_checkpoint(folder).problems
    assert re.search(why, problem)
    with pytest.raises(ConfigError, match=why):
        load(folder, device="cpu")


@pytest.mark.parametrize("family", ["openpi", "lerobot"])
def test_check_names_every_file_that_is_no_good_and_not_the_first_alone(tmp_path, family) -> None:
    folder = make_checkpoint(tmp_path, family=family)
    (folder / "model.safetensors").write_bytes(b"cut")
    (folder / "tokenizer.model").write_bytes(b"cut")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"action_horizon": "many", "chunk_size": "many"}))
    if family == "openpi":
        file = folder / "assets/droid/norm_stats.json"
        stats = json.loads(file.read_text())
        stats["norm_stats"]["state"]["q01"][2] = math.nan
        file.write_text(json.dumps(stats))
    else:
        file = folder / "policy_preprocessor_step_3_normalizer_processor.safetensors"
        tensors = load_file(file)
        tensors["observation.state.q01"][2] = math.nan
        save_file(tensors, file)
    problems = inspect_checkpoint(folder, preset="pi05_droid").problems
    for told in (
        "'model.safetensors'",
        "config.json has",
        "state.*not finite|state.*finite",
        "not a SentencePiece file",
    ):
        assert any(re.search(told, problem) for problem in problems), (told, problems)


def test_a_file_that_two_readers_need_is_named_once(tmp_path) -> None:
    folder = make_checkpoint(tmp_path, family="lerobot")
    (folder / "policy_preprocessor.json").write_text("{")
    (problem,) = inspect_checkpoint(folder).problems
    assert "'policy_preprocessor.json' is not readable" in problem


def test_a_preset_and_a_horizon_replace_the_configuration_also_where_the_weights_are_refused(tmp_path) -> None:
    folder = make_checkpoint(tmp_path, name="29999")
    (folder / "config.json").unlink()
    (folder / "model.safetensors").write_text(POINTER)
    (problem,) = inspect_checkpoint(folder, preset="pi05_droid", horizon=15).problems
    assert "'model.safetensors' is a Git LFS pointer" in problem
    assert any(
        "give both --preset and --horizon" in p for p in inspect_checkpoint(folder, preset="pi05_droid").problems
    )


@pytest.mark.parametrize("is_named", [True, False])
def test_a_lerobot_folder_without_its_configuration_says_what_no_preset_replaces(tmp_path, is_named) -> None:
    folder = make_checkpoint(tmp_path, family="lerobot")
    (folder / "config.json").unlink()
    (folder / ("policy_preprocessor.json" if is_named else "model.safetensors")).unlink()
    problems = inspect_checkpoint(folder, preset="pi05_droid", horizon=15).problems
    assert any("'config.json' is missing. LeRobot saves it with the weights" in p for p in problems)


def test_an_adapter_folder_says_how_to_merge_it(tmp_path) -> None:
    folder = make_checkpoint(tmp_path, family="lerobot")
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    assert "PEFT adapter" in inspect_checkpoint(folder).problems[0]


def test_adapters_inside_the_weights_are_not_dropped_in_silence(tmp_path) -> None:
    folder = make_checkpoint(tmp_path)
    weights = load_file(folder / "model.safetensors")
    save_file(weights | {"action_out_proj.lora_A.default.weight": torch.zeros(4, 4)}, folder / "model.safetensors")
    assert "1 arrays of a LoRA adapter" in inspect_checkpoint(folder).problems[0]


def test_a_folder_above_the_checkpoint_says_where_it_lies(tmp_path) -> None:
    make_checkpoint(tmp_path / "outputs" / "last", name="pretrained_model", family="lerobot")
    assert "'last/pretrained_model': give that folder" in inspect_checkpoint(tmp_path / "outputs").problems[0]


NEWER = [
    # transformers from 5.6 on, and before 4.52.
    lambda name: name.replace("vision_tower.vision_model.", "vision_tower."),
    lambda name: (
        name.replace("paligemma.lm_head.", "paligemma.language_model.lm_head.")
        .replace("paligemma.model.language_model.", "paligemma.language_model.model.")
        .replace("paligemma.model.vision_tower.", "paligemma.vision_tower.")
        .replace("paligemma.model.multi_modal_projector.", "paligemma.multi_modal_projector.")
    ),
    lambda name: name.replace("time_mlp_", "action_time_mlp_"),
    lambda name: name.replace("gemma_expert.", "gemma_expert._fsdp_wrapped_module."),
]


@pytest.mark.parametrize("family", ["openpi", "lerobot"])
@pytest.mark.parametrize("rename", NEWER)
def test_names_of_other_versions_of_transformers_are_read(tmp_path, rename, family) -> None:
    works(with_names(make_checkpoint(tmp_path, family=family), rename))


def test_a_tensor_under_two_names_is_not_chosen_from(tmp_path) -> None:
    folder = make_checkpoint(tmp_path)
    weights = load_file(folder / "model.safetensors")
    twice = {f"module.{name}": tensor + 1.0 for name, tensor in weights.items() if name == "action_out_proj.bias"}
    save_file(weights | twice, folder / "model.safetensors")
    assert "is there twice" in inspect_checkpoint(folder).problems[0]


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_weight_that_is_no_number_is_named_at_loading(tmp_path, number, capsys) -> None:
    folder = make_checkpoint(tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights["action_out_proj.bias"][3] = number
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(ConfigError, match=r"'action_out_proj.bias' holds 1 of 32 numbers that are not finite"):
        load(folder, device="cpu")
    assert check(folder, quick=True) == 0
    assert check(folder) == 1
    assert "'action_out_proj.bias' holds 1 of 32" in capsys.readouterr().out


def test_a_network_that_samples_no_actions_is_refused_at_loading_and_by_the_check(tmp_path, capsys) -> None:
    folder = make_checkpoint(tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights["action_out_proj.bias"] += 40.0
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(PolicyError, match="times as large as its statistics' range"):
        load(folder, device="cpu")
    assert check(folder, quick=True) == 0
    assert "nothing was sampled" in " ".join(capsys.readouterr().out.split())
    assert check(folder) == 1
    assert "times as large as its statistics' range" in " ".join(capsys.readouterr().out.split())


def test_a_matrix_of_zeros_is_called_a_download_that_was_not_filled(tmp_path, capsys) -> None:
    folder = make_checkpoint(tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights["time_mlp_in.weight"].zero_()
    weights["time_mlp_in.bias"].zero_()
    save_file(weights, folder / "model.safetensors")
    assert check(folder) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "'time_mlp_in.weight' of shape (64, 64) is all zeros" in said
    assert "time_mlp_in.bias" not in said


def test_a_number_beyond_single_precision_is_called_not_finite(tmp_path) -> None:
    folder = make_checkpoint(tmp_path)
    weights = {name: tensor.double() for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors")
    load(folder, device="cpu").close()
    weights["action_out_proj.bias"][3] = 1e300
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(ConfigError, match=r"'action_out_proj.bias' holds 1 of 32 numbers that are not finite"):
        load(folder, device="cpu")


@pytest.mark.parametrize("depth", [99_999_999, -1])
def test_layers_that_are_not_numbered_from_zero_are_no_pi05(tmp_path, depth) -> None:
    folder = make_checkpoint(tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights[f"paligemma_with_expert.gemma_expert.model.layers.{depth}.x"] = torch.zeros(1)
    save_file(weights, folder / "model.safetensors")
    assert "numbered from 0" in inspect_checkpoint(folder).problems[0]


def test_a_tensor_without_numbers_is_named(tmp_path) -> None:
    folder = make_checkpoint(tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights["time_mlp_in.weight"] = torch.zeros(0, 64)
    save_file(weights, folder / "model.safetensors")
    assert "'time_mlp_in.weight' has shape (0, 64) and so no weights" in inspect_checkpoint(folder).problems[0]


@pytest.mark.parametrize("there", [(), ("model-00001-of-00002.safetensors",), ("pytorch_model.bin",)])
def test_weights_in_other_files_are_said_to_be_there(tmp_path, there) -> None:
    folder = make_checkpoint(tmp_path)
    for name in there:
        shutil.copy(folder / "model.safetensors", folder / name)
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    if "pytorch_model.bin" not in there:
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        assert any("shards that it names are not read" in note for note in inspect_checkpoint(folder).notes)
    (folder / "model.safetensors").unlink()
    said = inspect_checkpoint(folder).problems[0]
    missing = 2 - len(there)
    wanted = (
        "'pytorch_model.bin' holds weights as Python objects"
        if "pytorch_model.bin" in there
        else f"of which {missing} are missing"
    )
    assert wanted in said


def in_shards(folder: Path, *, twice: str = "") -> Path:
    """Store a checkpoint's weights in two shards with an index, a tensor in both if asked for."""
    weights = load_file(folder / "model.safetensors")
    names = sorted(weights)
    halves = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, half in halves.items():
        save_file({name: weights[name] for name in {*half, *([twice] if twice else [])}}, folder / file)
    index = {"weight_map": {name: file for file, half in halves.items() for name in half}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()
    return folder


@pytest.mark.parametrize("family", ["openpi", "lerobot"])
def test_weights_in_shards_are_those_of_one_file(tmp_path, family) -> None:
    whole = load(make_checkpoint(tmp_path / "a", family=family), device="cpu")
    folder = in_shards(make_checkpoint(tmp_path / "b", family=family))
    works(folder)
    assert check(folder) == 0
    noise = torch.zeros(1, whole.spec.horizon, whole.spec.width)
    chunks = [p.denoise(p.encode(make_observation()), noise) for p in (whole, load(folder, device="cpu"))]
    assert torch.equal(*chunks)
    fingerprint = inspect_checkpoint(folder).fingerprint()
    second = folder / "model-00002-of-00002.safetensors"
    weights = load_file(second)
    save_file({name: tensor + 1 for name, tensor in weights.items()}, second)
    assert inspect_checkpoint(folder).fingerprint() != fingerprint


def test_a_tensor_in_two_shards_is_refused(tmp_path) -> None:
    folder = in_shards(make_checkpoint(tmp_path), twice="time_mlp_in.weight")
    (problem,) = inspect_checkpoint(folder).problems
    assert "Tensor 'time_mlp_in.weight' is in two shards" in problem


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ({"weight_map": {"a": "../other.safetensors"}}, "it names '../other.safetensors', expected files beside it"),
        ({"weight_map": {"a": "weights.bin"}}, "it names 'weights.bin', expected files beside it"),
        ({"weight_map": {}}, "it names no file"),
    ],
)
def test_an_index_that_names_no_shards_beside_it_is_refused(tmp_path, index, words) -> None:
    folder = in_shards(make_checkpoint(tmp_path))
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert words in inspect_checkpoint(folder).problems[0]


def test_a_shard_that_is_cut_or_a_pointer_is_named(tmp_path) -> None:
    folder = in_shards(make_checkpoint(tmp_path))
    path = folder / "model-00002-of-00002.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    assert "'model-00002-of-00002.safetensors' is not whole" in inspect_checkpoint(folder).problems[0]
    path.write_text(POINTER)
    assert "'model-00002-of-00002.safetensors' is a Git LFS pointer" in inspect_checkpoint(folder).problems[0]


def test_a_file_that_is_not_the_weights_is_not_taken_for_its_folder(tmp_path) -> None:
    folder = make_checkpoint(tmp_path)
    shutil.copy(folder / "model.safetensors", folder / "ema.safetensors")
    assert not inspect_checkpoint(folder / "model.safetensors").problems
    with pytest.raises(WeightsMissing, match=r"weights are read from 'model.safetensors' in a folder"):
        inspect_checkpoint(folder / "ema.safetensors")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"q01": [[0.0] * 8]}, "'q01' of shape (1, 8), expected a list of numbers"),
        ({"q99": [1.0] * 9}, "8 numbers in 'q01' and 9 numbers in 'q99'"),
        ({"q01": ["0.1"] * 8}, "Statistic 'q01' of actions in "),
        ({"q01": [True, *[0.0] * 7]}, "holds true, expected numbers alone"),
        ({"q01": [None, *[0.0] * 7]}, "holds null, expected numbers alone"),
        ({"q01": [[0.0], 0.0]}, "is no list of numbers (lists of different lengths"),
        ({"q99": [1e30] * 8}, "joint 1 centre on 5.00e+29"),
    ],
)
def test_statistics_of_another_shape_are_refused(tmp_path, change, words) -> None:
    folder = make_checkpoint(tmp_path)
    path = folder / "assets/droid/norm_stats.json"
    stats = json.loads(path.read_text())
    stats["norm_stats"]["actions"] |= change
    path.write_text(json.dumps(stats))
    assert any(words in problem for problem in inspect_checkpoint(folder).problems)


@pytest.mark.parametrize(
    ("family", "changes", "words"),
    [
        ("openpi", {"pi05": False}, "pi05 = False, preset 'pi05_droid' needs True"),
        ("openpi", {"discrete_state_input": False}, "discrete_state_input = False"),
        ("openpi", {"max_token_len": 48}, "max_token_len = 48"),
        ("openpi", {"precision": "int4"}, "precision = 'int4', expected bfloat16, float16, float32"),
        ("lerobot", {"dtype": "int8"}, "dtype = 'int8', expected bfloat16, float16, float32"),
        ("lerobot", {"image_resolution": [512, 512]}, "image_resolution = [512, 512], supported is [56, 56]"),
        ("lerobot", {"n_obs_steps": 2}, "n_obs_steps = 2, supported is 1"),
        ("lerobot", {"num_inference_steps": 0}, "num_inference_steps = 0, expected a whole number, 1 to 1000"),
        ("lerobot", {"normalization_mapping": {"VISUAL": "MEAN_STD"}}, "normalises images by MEAN_STD"),
        ("openpi", {"action_horizon": 10**12}, "expected a whole number, 1 to 1000"),
        ("lerobot", {"chunk_size": 10**12}, "expected a whole number, 1 to 1000"),
        ("lerobot", {"tokenizer_max_length": 48}, "tokenizer_max_length = 48, supported is 200"),
    ],
)
def test_a_configuration_of_another_network_is_refused(tmp_path, family, changes, words) -> None:
    folder = with_config(make_checkpoint(tmp_path, family=family), **changes)
    assert any(words in problem for problem in inspect_checkpoint(folder).problems)


@pytest.mark.parametrize("family", ["openpi", "lerobot"])
def test_settings_that_nobody_here_reads_are_named(tmp_path, family) -> None:
    folder = with_config(make_checkpoint(tmp_path, family=family), use_flash_memory=True, dtype="bfloat16")
    found = inspect_checkpoint(folder)
    assert not found.problems
    assert "Settings of config.json that are not read: use_flash_memory." in found.notes


def test_steps_that_are_not_taken_are_said(tmp_path) -> None:
    folder = with_config(make_checkpoint(tmp_path, family="lerobot"), num_inference_steps=5)
    assert "num_inference_steps = 5 is not used: 10 steps are taken unless a plan says otherwise." in (
        inspect_checkpoint(folder).notes
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"steps": "x"}', "is not readable: it has no list of steps"),
        ('{"steps": [1]}', "is not readable: it has no list of steps"),
        ('{"steps": [],, }', r"is not readable (no JSON from line 1, column 14 on), expected JSON"),
        ('{"steps": [], "steps": []}', "('steps' is there twice in one object; remove one of the two)"),
    ],
)
def test_a_pipeline_that_is_none_is_said_in_words_of_our_own(tmp_path, text, words) -> None:
    folder = make_checkpoint(tmp_path, family="lerobot")
    (folder / "policy_preprocessor.json").write_text(text)
    assert any(words in problem for problem in inspect_checkpoint(folder).problems)


@pytest.mark.parametrize(("make", "kind"), [(os.mkfifo, "a named pipe"), (Path.mkdir, "a folder")])
def test_what_is_in_the_place_of_the_tokenizer_is_said(tmp_path, make, kind) -> None:
    folder = make_checkpoint(tmp_path)
    (folder / "tokenizer.model").unlink()
    make(folder / "tokenizer.model")
    (problem,) = inspect_checkpoint(folder).problems
    assert f"is not a SentencePiece file (is {kind}, expected a plain file)" in problem


def test_a_device_that_is_none_is_refused_without_the_librarys_list(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"^No device 'gpu'\. Use cuda, cuda:1 or cpu\.$"):
        load(make_checkpoint(tmp_path), device="gpu")


def test_a_statistics_file_elsewhere_is_not_read(tmp_path) -> None:
    folder = make_checkpoint(tmp_path, family="lerobot")
    (file,) = folder.glob("*normalizer*")
    file.rename(tmp_path / file.name)
    path = folder / "policy_preprocessor.json"
    path.write_text(path.read_text().replace(file.name, f"../{file.name}"))
    assert any("expected a file beside it" in problem for problem in inspect_checkpoint(folder).problems)


def test_a_folder_whose_name_is_no_text_is_refused_because_a_library_wants_one(tmp_path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    make_checkpoint(tmp_path).rename(folder)
    (problem,) = inspect_checkpoint(folder, preset="pi05_droid").problems
    assert "has a path that is no UTF-8 text, and safetensors reads no other. Rename the folder." in problem


@pytest.mark.parametrize("kind", [MemoryError, torch.OutOfMemoryError])
def test_a_network_that_does_not_fit_into_memory_is_said_with_its_size(tmp_path, monkeypatch, kind) -> None:
    def full(*_: object) -> None:
        raise kind("out of memory")

    monkeypatch.setattr(loading, "Pi05Model", full)
    with pytest.raises(
        ConfigError, match=r"does not fit into the memory of cpu: its weights alone take 0\.\d GB as float32"
    ):
        load(make_checkpoint(tmp_path), device="cpu")


def with_config(folder: Path, **changes: object) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_action_steps": 16}, "n_action_steps = 16, chunk_size = 15"),
        ({"use_visual_memory": True}, "use_visual_memory = True, supported is False"),
        ({"min_period": 0.01}, "min_period = 0.01"),
    ],
)
def test_settings_that_the_network_here_does_not_follow_are_refused(tmp_path, changes, words) -> None:
    folder = with_config(make_checkpoint(tmp_path, family="lerobot"), **changes)
    assert any(words in problem for problem in inspect_checkpoint(folder).problems)


def test_a_whole_chunk_per_pick_is_said_in_seconds(tmp_path) -> None:
    folder = with_config(make_checkpoint(tmp_path, family="lerobot"), n_action_steps=15)
    assert any("every pick moves for 1.0 s" in note for note in inspect_checkpoint(folder).notes)


def test_statistics_of_another_data_set_are_not_taken_until_they_are_given(tmp_path) -> None:
    folder = make_checkpoint(tmp_path)
    (folder / "assets/droid").rename(folder / "assets/my_ur5")
    assert "found those of 'my_ur5'" in inspect_checkpoint(folder).problems[0]
    works(folder, norm_stats=folder / "assets/my_ur5/norm_stats.json")


@pytest.mark.parametrize(("preset", "is_usable"), [("pi05_droid", True), ("pi05_droid_jointpos_polaris", False)])
def test_an_action_that_never_moves_in_the_statistics_is_said(tmp_path, preset, is_usable) -> None:
    folder = make_checkpoint(tmp_path)
    path = folder / "assets/droid/norm_stats.json"
    stats = json.loads(path.read_text())
    for column in ("q01", "q99"):
        stats["norm_stats"]["actions"][column][2] = 0.0
    path.write_text(json.dumps(stats))
    found = inspect_checkpoint(folder, preset=preset)
    assert any(
        "Numbers [3] of the actions never move" in text for text in (found.notes if is_usable else found.problems)
    )
    assert bool(found.problems) is not is_usable


@pytest.fixture
def source(tmp_path: Path) -> Path:
    shutil.copytree(FIXTURE / "openpi_jax/params", tmp_path / "source/params")
    return tmp_path / "source"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("q_einsum/lora_a", "lora_a' is there without 'PaliGemma/llm/layers/q_einsum/lora_b'"),
        ("extra", "no place for, e.g. 'PaliGemma/llm/layers/extra'"),
    ],
)
def test_arrays_beside_the_networks_own_are_refused_by_name(source, tmp_path, name, words) -> None:
    tensorstore = pytest.importorskip("tensorstore")
    keys = ["params", "PaliGemma", "llm", "layers", *name.split("/"), "value"]
    store = {"driver": "ocdbt", "base": f"file://{source}/params/", "path": ".".join(keys) + "/"}
    metadata = {"shape": [2, 2], "dtype": "<f4", "chunks": [2, 2]}
    spec = {"driver": "zarr", "kvstore": store, "metadata": metadata, "create": True}
    tensorstore.open(spec).result().write(np.ones((2, 2), np.float32)).result()
    path = source / "params/_METADATA"
    described = json.loads(path.read_text())
    described["tree_metadata"][str(tuple(keys))] = {"key_metadata": [{"key": k, "key_type": 2} for k in keys]}
    path.write_text(json.dumps(described))
    with pytest.raises(ConfigError, match=words):
        convert(source, tmp_path / "out", preset=find_preset("pi05_droid"))
    assert not (tmp_path / "out").exists()


def test_a_half_downloaded_folder_is_called_not_whole(source, tmp_path) -> None:
    for path in (source / "params").rglob("d/*"):
        path.unlink()
    with pytest.raises(ConfigError, match="is not whole"):
        convert(source, tmp_path / "out", preset=find_preset("pi05_droid"))


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"tree_metadata": {"a": {"key_metadata": []}}}'])
def test_cut_metadata_is_named(source, tmp_path, text) -> None:
    (source / "params/_METADATA").write_text(text)
    with pytest.raises(ConfigError, match="_METADATA' is not readable"):
        convert(source, tmp_path / "out", preset=find_preset("pi05_droid"))


def with_header(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Rewrite the header of the weights."""
    path = folder / "model.safetensors"
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header = change(header) or header
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    return folder


BIAS = "action_in_proj.bias"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda h: [1], "is not a safetensors file .its header is no list of tensors"),
        (lambda h: h.update({BIAS: None}), "its header is no list of tensors"),
        (lambda h: h[BIAS].update(shape="x"), "of shape x has bytes"),
        (lambda h: h[BIAS].update(data_offsets=[0, 4]), "of shape .* has bytes"),
        (lambda h: h[BIAS].update(shape=[32]), "of shape .32. has bytes"),
        (lambda h: h[BIAS].update(dtype="I8"), "'action_in_proj.bias' as I8, expected BF16, F16, F32, F64: quantised"),
        (lambda h: h[BIAS].update(dtype="F8_E4M3"), "quantised weights are not read"),
    ],
)
def test_a_header_that_is_none_and_numbers_that_are_no_weights_are_refused(tmp_path, change, words) -> None:
    problems = inspect_checkpoint(with_header(make_checkpoint(tmp_path), change)).problems
    assert any(re.search(words, p) for p in problems), problems


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"max_action_dim": None}, "holds what no pi0.5's does"),
        ({"input_features": [{"a": 1}]}, "holds what no pi0.5's does"),
        ({"normalization_mapping": ["QUANTILES"]}, "holds what no pi0.5's does"),
        ({"chunk_size": True}, "chunk_size = True, expected a whole number"),
        ({"use_relative_actions": "false"}, "use_relative_actions = 'false', expected true or false"),
        ({"output_features": {"action": {"shape": []}}}, "size of 'action' in output_features. Take the one"),
    ],
)
def test_a_configuration_that_is_none_is_a_problem_and_no_traceback(tmp_path, changes, words) -> None:
    folder = make_checkpoint(tmp_path, family="lerobot")
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    problems = inspect_checkpoint(folder).problems
    assert any(words in p for p in problems), problems
    assert len(set(problems)) == len(problems)


def test_a_table_of_new_names_that_is_none_is_a_problem(tmp_path) -> None:
    folder = make_checkpoint(tmp_path, family="lerobot")
    path = folder / "policy_preprocessor.json"
    step = {"registry_name": "rename_observations_processor", "config": {"rename_map": ["observation.images.top"]}}
    path.write_text(json.dumps({"steps": [step, *json.loads(path.read_text())["steps"]]}))
    assert any("policy_preprocessor.json" in p for p in inspect_checkpoint(folder).problems)


@pytest.mark.parametrize(
    ("make", "there"), [("folder", "is a folder"), ("pipe", "is a named pipe"), ("loop", "is a link that")]
)
def test_what_is_in_the_place_of_the_weights_is_said(make, there, tmp_path) -> None:
    folder = make_checkpoint(tmp_path)
    path = folder / "model.safetensors"
    path.unlink()
    {"folder": path.mkdir, "pipe": lambda: os.mkfifo(path), "loop": lambda: path.symlink_to(path)}[make]()
    assert there in inspect_checkpoint(folder).problems[0]


def words_of(model: bytes) -> tuple[int, ...]:
    """Return where each part of a SentencePiece model ends."""
    ends, at = list[int](), 0
    while at < len(model):
        assert model[at + 1] < 128
        at += 2 + model[at + 1]
        ends.append(at)
    return tuple(ends)


@pytest.mark.parametrize("part", [60, 199, -2, 0])
def test_a_tokenizer_that_was_cut_between_two_words_is_refused(tmp_path, part) -> None:
    folder = make_checkpoint(tmp_path)
    whole = (folder / "tokenizer.model").read_bytes()
    (folder / "tokenizer.model").write_bytes(whole[: words_of(whole)[part]])
    (problem,) = inspect_checkpoint(folder).problems
    assert "is not a SentencePiece file (it is cut off: the parts that follow its words are missing)" in problem


def test_a_tokenizer_with_too_few_words_or_without_a_begin_is_refused(tmp_path) -> None:
    folder = make_checkpoint(tmp_path)
    whole = (folder / "tokenizer.model").read_bytes()
    ends = words_of(whole)
    (folder / "tokenizer.model").write_bytes(whole[: ends[150]] + whole[ends[199] :])
    (problem,) = inspect_checkpoint(folder).problems
    assert "has 151 words, the network knows 256" in problem
    (folder / "tokenizer.model").write_bytes(whole[: ends[1]] + whole[ends[2] :])
    (problem,) = inspect_checkpoint(folder).problems
    assert "has no word for the begin of a text" in problem


def test_a_width_that_the_weights_contradict_names_no_option(tmp_path) -> None:
    for family, setting in (("lerobot", "max_action_dim"), ("openpi", "action_dim")):
        folder = with_config(make_checkpoint(tmp_path / family, family=family), **{setting: 24})
        (problem,) = inspect_checkpoint(folder).problems
        assert f"have an action width of 32, config.json has {setting} = 24. Take the config.json" in problem


@pytest.mark.parametrize("name", ["bf16", "torch.bfloat16", "fp32", None])
def test_other_names_of_a_type_of_number_are_taken(tmp_path, name) -> None:
    assert inspect_checkpoint(with_config(make_checkpoint(tmp_path), precision=name, dtype=name)).problems == []


@pytest.mark.parametrize(("kind", "words"), [(None, "does not state its type"), ("pi0", "is a 'pi0', not a pi05")])
def test_a_checkpoint_of_another_kind_is_one_problem(tmp_path, kind, words) -> None:
    folder = with_config(make_checkpoint(tmp_path, family="lerobot"), type=kind)
    (problem,) = inspect_checkpoint(folder, cameras="base=left,wrist=wrist").problems
    assert words in problem


def test_a_note_that_is_cut_is_one_problem(tmp_path) -> None:
    folder = make_checkpoint(tmp_path)
    (folder / "frs_policy.json").write_text('{"pre')
    (problem,) = inspect_checkpoint(folder).problems
    assert "'frs_policy.json' is not readable JSON" in problem


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("MODEL.SAFETENSORS", "'MODEL.SAFETENSORS' is there: rename it to 'model.safetensors'"),
        ("model.safetensors.incomplete", "'model.safetensors.incomplete' is a download that has not ended"),
        (
            "model-00001-of-00002.safetensors",
            "is one of the shards that 'model.safetensors.index.json' lists, which is",
        ),
        ("weights.safetensors", "'weights.safetensors' is there: if it holds the whole network, rename it"),
        ("notes.txt", "'model.safetensors' is missing. Download it, or give the folder that holds it."),
    ],
)
def test_what_a_folder_holds_in_the_place_of_its_weights_is_said(tmp_path, name, words) -> None:
    folder = make_checkpoint(tmp_path)
    (folder / "model.safetensors").rename(folder / name)
    assert words in inspect_checkpoint(folder).problems[0]


def test_an_index_of_shards_that_is_a_list_is_said_in_words_of_our_own(tmp_path) -> None:
    folder = make_checkpoint(tmp_path)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text("[]")
    assert "is not readable (it lacks something, or holds another" in inspect_checkpoint(folder).problems[0]


def test_openpis_normalisation_by_mean_and_deviation_is_followed(tmp_path) -> None:
    folder = with_config(make_checkpoint(tmp_path), use_quantile_norm=False)
    found = inspect_checkpoint(folder)
    stats = json.loads((folder / "assets/droid/norm_stats.json").read_text())["norm_stats"]
    assert found.problems == []
    assert found.actions is not None
    np.testing.assert_array_equal(found.actions.offset, stats["actions"]["mean"])
    assert "use_quantile_norm is false: normalised by mean and standard deviation." in found.notes
    problems = inspect_checkpoint(with_config(folder, use_quantile_norm="no")).problems
    assert any("use_quantile_norm = 'no', expected true or false" in problem for problem in problems)


def test_a_pointer_is_named_with_its_folder(tmp_path) -> None:
    folder = make_checkpoint(tmp_path)
    (folder / "tokenizer.model").write_text(POINTER)
    (problem,) = inspect_checkpoint(folder).problems
    assert problem.endswith(f"Run `git lfs pull` in its repository, '{folder}'.")
