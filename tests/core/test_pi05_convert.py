"""openpi's own format converted without openpi, against the answers of openpi's JAX model; the commands around it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from frs_core.commands.policy import check, fetch
from frs_core.errors import ConfigError, WeightsMissing
from frs_core.making.pi05.convert import convert
from frs_core.making.pi05.new_folder import new_folder
from frs_core.policies.pi05 import load
from frs_core.policies.pi05.checkpoint import inspect_checkpoint
from frs_core.policies.pi05.layout import Layout
from frs_core.policies.pi05.model import Pi05Model
from frs_core.policies.pi05.presets import find_preset
from frs_core.policies.pi05.sizes import size_of
from frs_core.policies.pi05.weights import FileSource, read_header
from frs_core.steering import flow
from tests.core.test_pi05_adapters import make_adapter
from tests.fakes.pi05 import FIXTURE, HORIZON, make_checkpoint, make_observation

THEIR_TIMES = (0.0, 0.1, 0.5, 0.9, 1.0)
TOLERANCE = 1e-5


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """openpi's folder: params from JAX, statistics as a released checkpoint has them."""
    folder = tmp_path / "pi05_droid.openpi"
    shutil.copytree(FIXTURE / "openpi_jax" / "params", folder / "params")
    shutil.copytree(make_checkpoint(tmp_path / "other") / "assets", folder / "assets")
    return folder


def largest(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max())


def test_converted_weights_equal_openpis_jax_model(source: Path, tmp_path: Path) -> None:
    path = convert(source, tmp_path / "out", preset=find_preset("pi05_droid")) / "model.safetensors"
    inputs, theirs = load_file(FIXTURE / "inputs.safetensors"), load_file(FIXTURE / "openpi_jax/outputs.safetensors")
    reader = FileSource(path, device=torch.device("cpu"), dtype=torch.float32)
    with torch.inference_mode():
        model = Pi05Model(reader, size_of(read_header(path)))
        embeds = model.embed(inputs["images"][:2].permute(0, 3, 1, 2).float() / 127.5 - 1.0, inputs["tokens"])
        hidden, cache = model.prefix(embeds)
        layout = Layout(cache, batch=4, horizon=HORIZON)
        assert largest(embeds, theirs["embeds"]) < TOLERANCE
        assert largest(hidden, theirs["prefix_hidden"]) < TOLERANCE
        for i, t in enumerate(THEIR_TIMES):
            assert largest(model.velocity(layout, inputs["noise"], 1.0 - t), -theirs["velocity"][i]) < TOLERANCE
        sample = flow.denoise(lambda x, t: model.velocity(layout, x, t), inputs["noise"], steps=10)
        assert largest(sample, theirs["sample"]) < TOLERANCE


def test_a_converted_folder_brings_statistics_and_meaning_and_loads(source: Path, tmp_path: Path) -> None:
    folder = convert(source, tmp_path / "renamed", preset=find_preset("pi05_droid"), horizon=15, origin="a bucket")
    shutil.copy(FIXTURE / "tokenizer.model", folder)
    assert json.loads((folder / "frs_policy.json").read_text()) == {"preset": "pi05_droid", "source": "a bucket"}
    policy = load(folder, device="cpu")
    assert policy.encode(make_observation()).features.shape == (256,)


def test_the_command_converts_and_checks(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = fetch(convert=source, out=tmp_path / "weights")
    text = capsys.readouterr().out
    assert code == 1
    assert "No tokenizer for 'pi05_droid'" in text
    assert (tmp_path / "weights/pi05_droid/model.safetensors").is_file()
    with pytest.raises(ConfigError, match="exists"):
        fetch(convert=source, out=tmp_path / "weights")


def test_a_horizon_that_no_file_states_is_said_to_be_the_presets(source: Path, tmp_path: Path, capsys, caplog) -> None:
    own = source.rename(tmp_path / "29999")
    fetch(convert=own, out=tmp_path / "out", preset="pi05_droid_finetune")
    said = "The horizon of 16 rows is the one of preset 'pi05_droid_finetune', since openpi's checkpoints state none."
    assert said in capsys.readouterr().out
    folder = tmp_path / "out/29999"
    shutil.copy(FIXTURE / "tokenizer.model", folder)
    assert check(folder, quick=True) == 0
    assert load(folder, device="cpu").spec.horizon == 16
    assert said in caplog.text
    assert check(folder, horizon=12, quick=True) == 0
    assert said not in capsys.readouterr().out.split("complete")[1]
    assert load(folder, device="cpu", horizon=12).spec.horizon == 12


def test_a_horizon_that_is_given_at_conversion_is_stated_afterwards(source: Path, tmp_path: Path, capsys) -> None:
    own = source.rename(tmp_path / "29999")
    fetch(convert=own, out=tmp_path / "out", preset="pi05_droid", horizon=12)
    assert "since openpi's checkpoints state none" not in capsys.readouterr().out
    folder = tmp_path / "out/29999"
    shutil.copy(FIXTURE / "tokenizer.model", folder)
    assert load(folder, device="cpu").spec.horizon == 12
    (problem,) = inspect_checkpoint(folder, horizon=20).problems
    assert problem.startswith("config.json has action_horizon = 12, and --horizon says 20.")
    assert inspect_checkpoint(folder, horizon=12).problems == []


def test_a_horizon_beside_what_states_it_or_is_not_converted_is_refused(tmp_path: Path) -> None:
    folder, _, _ = make_adapter(tmp_path)
    with pytest.raises(ConfigError, match=r"the adapter's config.json states it"):
        fetch(convert=folder, out=tmp_path / "out", preset="pi05_droid", horizon=12)
    with pytest.raises(ConfigError, match="belong to --convert"):
        fetch("pi05_droid", horizon=12)


def test_check_tells_what_a_checkpoint_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_checkpoint(tmp_path, family="lerobot")
    assert check(folder) == 0
    text = capsys.readouterr().out
    for words in (
        "lerobot",
        "horizon  15 rows",
        "joint_velocity at 15 Hz",
        "observation.images.base <- left",
        "complete",
    ):
        assert words in text
    (folder / "config.json").unlink()
    assert check(folder) == 1
    assert "✗  'config.json' is missing" in capsys.readouterr().out


def test_fetch_without_a_name_lists_what_is_published(capsys: pytest.CaptureFixture[str]) -> None:
    assert fetch() == 0
    assert "pi05_droid " in capsys.readouterr().out
    with pytest.raises(ConfigError, match="Did you mean 'pi05_droid'"):
        fetch("pi05_drod")


def test_a_folder_without_params_and_a_missing_tensorstore_are_named(source: Path, tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(WeightsMissing, match="Give the folder that holds params/"):
        convert(tmp_path, tmp_path / "out", preset=find_preset("pi05_droid"))
    monkeypatch.setitem(sys.modules, "tensorstore", None)
    with pytest.raises(ConfigError, match=r"frs-cockpit\[pi05\]"):
        convert(source, tmp_path / "out", preset=find_preset("pi05_droid"))


@pytest.fixture
def small_files() -> Iterator[None]:
    """Let this process write no file of more than 300 kB, as on a full disk."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_conversion_that_the_disk_does_not_take_leaves_nothing(source: Path, tmp_path: Path, small_files) -> None:
    with pytest.raises(ConfigError, match=r"out/pi05_droid' could not be written: a file is larger than its disk"):
        fetch(convert=source, out=tmp_path / "deep/out")
    assert not (tmp_path / "deep").exists()
    kept = tmp_path / "weights/pi05_droid/tokenizer.model"
    kept.parent.mkdir(parents=True)
    kept.write_text("mine")
    with pytest.raises(ConfigError, match="could not be written"):
        fetch(convert=source, out=tmp_path / "weights")
    assert [path for path in (tmp_path / "weights").rglob("*") if path.is_file()] == [kept]


def test_a_merge_that_the_disk_does_not_take_leaves_nothing(tmp_path: Path, small_files) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    folder, _, _ = make_adapter(tmp_path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with pytest.raises(ConfigError, match="a file is larger than its disk or this process allows"):
        fetch(convert=folder, preset="pi05_droid", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_there_is_filled_from_within_since_it_may_be_another_disk(tmp_path: Path) -> None:
    target = tmp_path / "volume"
    target.mkdir()
    with new_folder(target) as made:
        assert made.parent == target
        (made / "assets").mkdir()
        (made / "assets/norm_stats.json").write_text("{}")
    assert [path.relative_to(target).as_posix() for path in target.rglob("*")] == ["assets", "assets/norm_stats.json"]


def test_what_a_killed_conversion_left_is_removed_by_the_next_and_a_running_one_is_not(tmp_path: Path) -> None:
    kill = "import os, signal; from pathlib import Path; from frs_core.making.pi05.new_folder import new_folder\n"
    kill += "with new_folder(Path('pi05_droid')) as made:\n    (made / 'half').write_text('x'); os.kill(os.getpid(), signal.SIGKILL)"
    assert subprocess.run([sys.executable, "-c", kill], cwd=tmp_path, check=False).returncode == -signal.SIGKILL
    assert len(list(tmp_path.rglob("half"))) == 1
    with new_folder(tmp_path / "running") as running:
        assert not list(tmp_path.rglob("half"))
        with new_folder(tmp_path / "pi05_droid") as made:
            (made / "config.json").write_text("{}")
        assert running.is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pi05_droid"]


def test_what_was_put_into_the_folder_before_stays_there(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "weights/pi05_droid"
    folder.mkdir(parents=True)
    shutil.copy(FIXTURE / "tokenizer.model", folder)
    assert fetch(convert=source, out=tmp_path / "weights") == 0


def test_a_file_in_the_place_of_the_folder_is_said(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ConfigError, match=r"out' is a file, so nothing can be written there"):
        fetch(convert=source, out=tmp_path / "out")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "etc").symlink_to("/etc"), "etc' is a link to a folder, which is not followed"),
        (lambda folder: (folder / "x.json").symlink_to("/etc/hostname"), "x.json' cannot be copied"),
        (lambda folder: (folder / "gone.json").symlink_to("nowhere"), "gone.json' cannot be copied"),
        (lambda folder: os.mkfifo(folder / "pipe"), r"pipe' cannot be copied \(is a named pipe"),
    ],
)
def test_what_is_no_file_of_statistics_is_not_copied(source: Path, tmp_path: Path, spoil, words) -> None:
    spoil(source / "assets/droid")
    with pytest.raises(ConfigError, match=words):
        fetch(convert=source, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_statistics_that_are_a_link_of_a_download_are_copied(source: Path, tmp_path: Path) -> None:
    path = source / "assets/droid/norm_stats.json"
    path.rename(tmp_path / "blob")
    path.symlink_to(tmp_path / "blob")
    fetch(convert=source, out=tmp_path / "out")
    copied = tmp_path / "out/pi05_droid/assets/droid/norm_stats.json"
    assert copied.read_bytes() == (tmp_path / "blob").read_bytes()
    assert not copied.is_symlink()


@pytest.mark.parametrize("which", ["manifest.ocdbt", "*/d/*"])
def test_a_pointer_among_openpis_files_is_called_one(source: Path, tmp_path: Path, which: str) -> None:
    path = max((source / "params").glob(which), key=lambda p: p.stat().st_size)
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(WeightsMissing, match=rf"{path.name}' is a Git LFS pointer.* in its repository, '{source}'"):
        convert(source, tmp_path / "out", preset=find_preset("pi05_droid"))
