"""pi0.5 folders as people have them: loaded where shapes and options suffice, else refused in a sentence; never half read."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from frs_core.errors import ConfigError
from frs_core.policies.pi05 import load
from frs_core.policies.pi05.checkpoint import inspect_checkpoint
from frs_core.policies.pi05.convert import convert
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


def test_check_finds_a_tokenizer_that_loading_would_refuse(tmp_path) -> None:
    folder = make_checkpoint(tmp_path)
    (folder / "tokenizer.model").write_bytes(b"cut")
    assert any("no SentencePiece file" in p for p in inspect_checkpoint(folder).problems)


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


@pytest.fixture
def source(tmp_path: Path) -> Path:
    shutil.copytree(FIXTURE / "openpi_jax/params", tmp_path / "source/params")
    return tmp_path / "source"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("q_einsum/lora_a", "fine-tuned with LoRA: 1 arrays"),
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
