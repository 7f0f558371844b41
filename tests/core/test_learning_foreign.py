"""Policy files from elsewhere: refused by name before memory or time is spent, and the list shows the others."""

import json
import os
import resource
from pathlib import Path

import pytest
import torch

from frs_core.commands import train as commands
from frs_core.errors import ConfigError
from frs_core.learning import DsbcSettings, FitSettings, NetworkSettings, artifact
from frs_core.learning.metadata import list_saved, read_metadata
from frs_core.learning.registry import load_noise_policy
from tests.fakes.learning import synthetic_table, train_dsbc

FIT = FitSettings(least_steps=0, steps=2, batch_size=32, learning_rate=2e-3, evaluate_every=1)
SETTINGS = DsbcSettings(network=NetworkSettings(hidden=16, layers=1), fit=FIT)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return train_dsbc(synthetic_table(), SETTINGS).save(tmp_path / "learned" / "policy")


def change(folder: Path, **facts: object) -> None:
    metadata = folder / "policy.json"
    metadata.write_text(json.dumps({**json.loads(metadata.read_text()), **facts}))


@pytest.mark.parametrize("file", ["policy.json", "weights.safetensors"])
@pytest.mark.parametrize("kind", ["pipe", "device", "sparse"])
def test_what_is_no_plain_file_of_a_policys_size_is_named(folder: Path, file: str, kind: str) -> None:
    (folder / file).unlink()
    if kind == "pipe":
        os.mkfifo(folder / file)
    elif kind == "device":
        (folder / file).symlink_to("/dev/zero")
    else:
        with (folder / file).open("wb") as sparse:
            sparse.truncate(1 << 40)
    with pytest.raises((ConfigError, FileNotFoundError), match=file):
        load_noise_policy(folder, "toy-1")


@pytest.mark.unchecked
@pytest.mark.parametrize(
    "facts",
    [
        {"feature_size": 10**12},
        {"feature_size": 900_000},
        {"horizon": 10**6},
        {"action_size": -1},
        {"proprio_size": True},
        {"settings": {"network": {"layers": 10**9, "hidden": 16}}},
        {"settings": {"network": {"layers": 1, "hidden": 10**7}}},
        {"settings": {"network": {"layers": "many"}}},
        {"metrics": []},
        {"kind": ["dsbc"]},
        {"made_at": "yesterday"},
        {"data": "[" * 100},
    ],
)
def test_sizes_that_no_weights_have_are_refused_before_memory_is_taken(folder: Path, facts: dict[str, object]) -> None:
    load_noise_policy(folder, "toy-1")
    change(folder, **facts)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ConfigError):
        load_noise_policy(folder, "toy-1")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


def test_deep_json_is_refused_by_name(folder: Path) -> None:
    (folder / "policy.json").write_text("[" * 10**6 + "]" * 10**6)
    with pytest.raises(ConfigError, match=r"policy\.json.*nested more than 64 deep"):
        load_noise_policy(folder, "toy-1")


def test_loaded_weights_are_the_saved_ones(folder: Path) -> None:
    metadata = read_metadata(folder)
    weights = artifact.read_weights(folder, metadata, "toy-1")
    loaded = load_noise_policy(folder, "toy-1")._network.state_dict()
    assert not any(t.is_meta for t in loaded.values())
    assert all(torch.equal(loaded[name], weights[name]) for name in weights)


def test_the_list_shows_the_others_beside_a_bad_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = folder.parent
    for name in ("pipe", "empty", "odd"):
        (root / name).mkdir()
    os.mkfifo(root / "pipe" / "policy.json")
    (root / "empty" / "policy.json").write_text((folder / "policy.json").read_text())
    change(root / "empty", metrics={})
    (root / "odd" / "policy.json").write_text((folder / "policy.json").read_text())
    change(root / "odd", kind="[/red]")
    assert {path.name for path, _ in list_saved(root)} == {"policy", "empty", "odd"}
    commands.list_policies(data=root.parent)
    out = capsys.readouterr().out
    assert "policy" in out
    assert "! damaged" in out
    assert "[/red]" in out
