"""Folders that are not the checkpoint: where it lies, what is done with it, and what is made of it."""

import json
import shutil
from pathlib import Path

import pytest

from frs_core.commands.policy import check, fetch
from frs_core.errors import ConfigError, WeightsMissing
from frs_core.policies.pi05.checkpoint import inspect_checkpoint
from frs_core.policies.pi05.places import name_of_run
from tests.core.test_pi05_adapters import make_adapter
from tests.fakes.pi05 import FIXTURE, make_checkpoint


@pytest.fixture
def step(tmp_path: Path) -> Path:
    """Step of openpi's trainer, in its JAX format."""
    folder = tmp_path / "checkpoints/pi05_droid_finetune/my_exp/29999"
    shutil.copytree(FIXTURE / "openpi_jax/params", folder / "params")
    shutil.copytree(make_checkpoint(tmp_path / "other") / "assets", folder / "assets")
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Run of LeRobot's trainer, with two steps and a link to the last."""
    checkpoints = tmp_path / "outputs/my_run/checkpoints"
    for number in ("9000", "030000"):
        folder = make_checkpoint(checkpoints / number, name="pretrained_model", family="lerobot")
        (folder.parent / "training_state").mkdir()
        (folder.parent / "training_state/optimizer_state.safetensors").write_bytes(b"")
    (checkpoints / "last").symlink_to("030000")
    return checkpoints.parent


def only_problem(folder: Path) -> str:
    (problem,) = inspect_checkpoint(folder).problems
    return problem


def test_a_run_says_which_steps_it_has_and_nothing_else(run: Path) -> None:
    said = "Checkpoints lie in 'checkpoints/9000/pretrained_model', 'checkpoints/030000/pretrained_model': give one of"
    assert said in only_problem(run)
    assert "A checkpoint lies in 'pretrained_model': give that folder" in only_problem(run / "checkpoints/last")
    beside = only_problem(run / "checkpoints/last/training_state")
    assert f"A checkpoint lies in '{run / 'checkpoints/last/pretrained_model'}'" in beside


def test_openpis_own_format_is_to_be_converted_and_nothing_else(step: Path) -> None:
    assert f"convert it with `frs policy fetch --convert {step} --preset NAME`" in only_problem(step)
    assert "A checkpoint lies in '29999'" in only_problem(step.parent)
    assert f"A checkpoint lies in '{step}'" in only_problem(step / "params")


def test_a_step_of_an_adapter_is_found_by_check_and_conversion(tmp_path: Path) -> None:
    folder, base, _ = make_adapter(tmp_path / "made")
    moved = tmp_path / "run/checkpoints/000100/pretrained_model"
    shutil.copytree(folder, moved)
    assert "A checkpoint lies in 'pretrained_model'" in only_problem(moved.parent)
    with pytest.raises(
        WeightsMissing, match=r"nor an adapter. A checkpoint lies in 'pretrained_model': give that folder"
    ):
        fetch(convert=moved.parent, base=base, preset="pi05_droid", out=tmp_path / "out")
    assert fetch(convert=moved, base=base, preset="pi05_droid", out=tmp_path / "out") == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["run-000100"]


@pytest.mark.parametrize(
    ("place", "name"),
    [("my_lora", "my_lora"), ("a/pretrained_model", "a"), ("run/checkpoints/5/pretrained_model", "run-5")],
)
def test_what_is_made_of_a_run_bears_its_name(tmp_path: Path, place: str, name: str) -> None:
    assert name_of_run(tmp_path / place) == name


def test_a_runs_name_is_no_published_one(tmp_path: Path) -> None:
    folder, base, _ = make_adapter(tmp_path / "made")
    moved = tmp_path / "pi05_droid/pretrained_model"
    shutil.copytree(folder, moved)
    with pytest.raises(ConfigError, match="Give --preset NAME"):
        fetch(convert=moved, base=base, out=tmp_path / "out")


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("nope", "29999/nope' does not exist. Correct the path."),
        ("params", "nor an adapter. A checkpoint lies in '.*/29999': give that folder"),
        ("params/_METADATA", "_METADATA' is a file. Give the folder of the checkpoint"),
        ("..", "nor an adapter. A checkpoint lies in '29999': give that folder"),
        ("assets/droid", "nor an adapter. Give the folder that holds one of them."),
    ],
)
def test_what_is_no_folder_to_convert_says_which_is(step: Path, tmp_path: Path, part: str, words: str) -> None:
    with pytest.raises(WeightsMissing, match=words):
        fetch(convert=step / part, preset="pi05_droid", out=tmp_path / "out")


def test_weights_without_an_adapter_need_no_conversion(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"need no conversion. Check them with `frs policy check"):
        fetch(convert=make_checkpoint(tmp_path), preset="pi05_droid", out=tmp_path / "out")


def test_a_folder_whose_saving_was_interrupted_is_refused(step: Path, tmp_path: Path) -> None:
    half = step.rename(step.with_name("29999.orbax-checkpoint-tmp-1234"))
    assert "The folder is what orbax leaves when its saving is interrupted" in only_problem(half)
    assert "A checkpoint lies in" not in only_problem(half.parent)
    with pytest.raises(ConfigError, match=r"is what orbax leaves when its saving is interrupted.*of another step"):
        fetch(convert=half, preset="pi05_droid", out=tmp_path / "out")


def test_the_tokenizer_is_found_where_fetching_it_puts_it(step: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "weights"
    assert fetch(convert=step, preset="pi05_droid", out=out) == 1
    assert (
        f"frs policy fetch --tokenizer-only --out {out / '29999'}`, or give --tokenizer FILE" in capsys.readouterr().out
    )
    shutil.copy(FIXTURE / "tokenizer.model", out / "paligemma_tokenizer.model")
    assert check(out / "29999", quick=True) == 0


def test_a_base_that_is_missing_says_how_to_get_it(tmp_path: Path) -> None:
    folder, base, _ = make_adapter(tmp_path)

    def refused(words: str, given: Path | None = None) -> None:
        with pytest.raises(WeightsMissing, match=words):
            fetch(convert=folder, base=given, preset="pi05_droid", out=tmp_path / "out")

    refused(
        "nope' does not exist, expected a folder with model.safetensors. Give their folder as --base", tmp_path / "nope"
    )
    refused("has no model.safetensors. A checkpoint lies in 'pi05_droid'.* Give their folder as --base", base.parent)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"base_model_name_or_path": "lerobot/pi05_base"}))
    refused("`frs policy fetch --hub lerobot/pi05_base --preset NAME` fetches them: .* --base weights/pi05_base")
    path.write_text(json.dumps(config | {"base_model_name_or_path": None}))
    refused("does not name the weights that it changes. Give their folder as --base")
    assert fetch(convert=folder, base=base / "model.safetensors", preset="pi05_droid", out=tmp_path / "out") == 0
