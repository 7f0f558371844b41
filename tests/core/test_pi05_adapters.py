"""LoRA adapters of openpi and of PEFT, joined with their weights: against the formulas of those who trained them."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from frs_core.commands.policy import fetch
from frs_core.errors import ConfigError, WeightsMissing
from frs_core.making.pi05.convert import convert
from frs_core.policies.pi05 import load
from frs_core.policies.pi05.adapters import ADAPTER, MergedArrays, merge
from frs_core.policies.pi05.checkpoint import inspect_checkpoint
from frs_core.policies.pi05.places import ADAPTER_CONFIG, WEIGHTS
from frs_core.policies.pi05.presets import find_preset
from tests.fakes.pi05 import FIXTURE, make_checkpoint

LAYERS = "PaliGemma/llm/layers/"
SCALE = 2.5

# Equation of the layer, then the two that openpi's Einsum makes of it for A and B (models/lora.py, _make_lora_eqns).
EQUATIONS = {
    "q_einsum": ("btd,ndh->btnh", "btd,ndl->btnl", "btnl,nlh->btnh", (3, 8, 5)),
    "kv_einsum": ("bsd,ckdh->cbskh", "bsd,ckdl->cbskl", "cbskl,cklh->cbskh", (2, 1, 8, 5)),
    "attn_vec_einsum": ("btnh,nhd->btd", "btnh,nhl->btl", "btl,nld->btd", (3, 5, 8)),
}


@pytest.mark.parametrize("stack", ["", "_1"])
@pytest.mark.parametrize("name", sorted(EQUATIONS))
def test_an_attention_adapter_acts_as_in_openpis_equations(name: str, stack: str) -> None:
    plain, first, second, shape = EQUATIONS[name]
    rng, stem = np.random.default_rng(0), f"{LAYERS}attn/{name}{stack}/"
    w, a, b = (rng.normal(size=(4, *s)) for s in (shape, (*shape[:-1], 2), (*shape[:-2], 2, shape[-1])))
    arrays = {f"{stem}w": lambda: w, f"{stem}lora_a": lambda: a, f"{stem}lora_b": lambda: b}
    merged = MergedArrays(arrays, scale=SCALE)
    assert list(merged) == [f"{stem}w"]
    x = rng.normal(size=(2, 6, *shape[:-1]) if "vec" in name else (2, 6, 8))
    for i, joined in enumerate(merged[f"{stem}w"]()):
        theirs = np.einsum(plain, x, w[i]) + SCALE * np.einsum(second, np.einsum(first, x, a[i]), b[i])
        np.testing.assert_allclose(np.einsum(plain, x, joined), theirs, atol=1e-12)


@pytest.mark.parametrize(("name", "shape"), [("gating_einsum", (2, 8, 16)), ("linear", (16, 8))])
def test_a_feed_forward_adapter_has_no_scale(name: str, shape: tuple[int, ...]) -> None:
    rng, stem = np.random.default_rng(0), f"{LAYERS}mlp_1/{name}"
    w, a, b = (rng.normal(size=(4, *s)) for s in (shape, (*shape[:-1], 2), (*shape[:-2], 2, shape[-1])))
    arrays = {stem: lambda: w, f"{stem}_lora_a": lambda: a, f"{stem}_lora_b": lambda: b}
    merged = MergedArrays(arrays, scale=None)
    np.testing.assert_allclose(merged[stem](), w + a @ b, atol=1e-12)


def with_lora(source: Path, *, only: str = "") -> Path:
    """Add openpi's adapters of rank 2 to the fixture's arrays."""
    tensorstore = pytest.importorskip("tensorstore")
    from frs_core.making.pi05.convert import read_orbax

    path, rng = source / "params/_METADATA", np.random.default_rng(1)
    described, arrays = json.loads(path.read_text()), read_orbax(source)
    for name, read in arrays.items():
        if (
            not name.startswith(LAYERS)
            or name.rpartition("/")[2] not in ("w", "gating_einsum", "linear")
            or only not in name
        ):
            continue
        shape, stem = read().shape, name.removesuffix("w") if name.endswith("/w") else f"{name}_"
        for side, its in (("a", (*shape[:-1], 2)), ("b", (*shape[:-2], 2, shape[-1]))):
            keys = ["params", *f"{stem}lora_{side}".split("/"), "value"]
            store = {"driver": "ocdbt", "base": f"file://{source}/params/", "path": ".".join(keys) + "/"}
            spec = {"driver": "zarr", "kvstore": store, "metadata": {"shape": its, "dtype": "<f4", "chunks": its}}
            tensorstore.open(spec | {"create": True}).result().write(rng.normal(size=its).astype("f4") * 0.1).result()
            described["tree_metadata"][str(tuple(keys))] = {"key_metadata": [{"key": k, "key_type": 2} for k in keys]}
    path.write_text(json.dumps(described))
    return source


@pytest.fixture
def source(tmp_path: Path) -> Path:
    shutil.copytree(FIXTURE / "openpi_jax/params", tmp_path / "pi05_droid/params")
    shutil.copytree(make_checkpoint(tmp_path / "other") / "assets", tmp_path / "pi05_droid/assets")
    return tmp_path / "pi05_droid"


def test_openpis_lora_is_merged_when_its_scale_is_said(source: Path, tmp_path: Path) -> None:
    preset = find_preset("pi05_droid")
    plain = load_file(convert(source, tmp_path / "plain", preset=preset) / WEIGHTS)
    with pytest.raises(
        ConfigError, match=r"alpha / rank .* is not written in it. Say it with --lora-scale: 1 for openpi's own"
    ):
        convert(with_lora(source), tmp_path / "out", preset=preset)
    assert not (tmp_path / "out").exists()
    folder = convert(source, tmp_path / "out", preset=preset, lora_scale=1.0)
    merged = load_file(folder / WEIGHTS)
    changed = {name for name in plain if not torch.equal(plain[name], merged[name])}
    assert changed == {n for n in plain if ".layers." in n and "_proj.weight" in n and "vision" not in n}
    assert json.loads((folder / "frs_policy.json").read_text())["lora_scale"] == 1.0
    shutil.copy(FIXTURE / "tokenizer.model", folder)
    load(folder, device="cpu")


def test_openpis_lora_of_the_feed_forward_alone_needs_no_scale(source: Path, tmp_path: Path) -> None:
    convert(with_lora(source, only="/mlp"), tmp_path / "out", preset=find_preset("pi05_droid"))


def test_a_scale_without_adapters_is_refused(source: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorstore")
    with pytest.raises(ConfigError, match="has no LoRA arrays"):
        convert(source, tmp_path / "out", preset=find_preset("pi05_droid"), lora_scale=1.0)


MODULE = "model.paligemma_with_expert.gemma_expert.model.layers.{}.self_attn.{}_proj"
RANK = 4


def make_adapter(root: Path, **changes: object) -> tuple[Path, Path, dict[str, torch.Tensor]]:
    """Write what LeRobot's trainer leaves: an adapter with its configuration and statistics; return it, its base, its arrays."""
    base, folder = make_checkpoint(root / "base", family="lerobot"), make_checkpoint(root / "mine", family="lerobot")
    weights = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    save_file({name: tensor.float() for name, tensor in weights.items()}, base / WEIGHTS)
    generator, arrays = torch.Generator().manual_seed(0), {}
    for layer in (0, 1):
        for kind in "qv":
            module = MODULE.format(layer, kind)
            out, into = weights[f"{module}.weight"].shape
            arrays[f"base_model.model.{module}.lora_A.weight"] = torch.randn(RANK, into, generator=generator) * 0.1
            arrays[f"base_model.model.{module}.lora_B.weight"] = torch.randn(out, RANK, generator=generator) * 0.1
    save_file(arrays, folder / ADAPTER)
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": 16, "base_model_name_or_path": str(base), "bias": "none"}
    (folder / ADAPTER_CONFIG).write_text(json.dumps(config | changes))
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"use_peft": True}))
    return folder, base, arrays


NOTE = {"preset": "pi05_droid"}


@pytest.mark.parametrize(
    ("changes", "scales"),
    [
        ({}, {0: 4.0, 1: 4.0}),
        ({"use_rslora": True}, {0: 8.0, 1: 8.0}),
        ({"alpha_pattern": {"layers.1.self_attn.q_proj": 2, "layers.1.self_attn.v_proj": 2}}, {0: 4.0, 1: 0.5}),
        ({"r": 8, "rank_pattern": {"q_proj": RANK, "v_proj": RANK}}, {0: 4.0, 1: 4.0}),
    ],
)
def test_an_adapter_of_peft_adds_alpha_over_r_times_b_a(tmp_path: Path, changes, scales) -> None:
    folder, base, arrays = make_adapter(tmp_path, **changes)
    target = merge(folder, tmp_path / "out", base=None, note=NOTE)
    before, after = load_file(base / WEIGHTS), load_file(target / WEIGHTS)
    for name, weight in before.items():
        module = f"base_model.model.{name.removesuffix('.weight')}"
        expected = weight
        if f"{module}.lora_A.weight" in arrays:
            product = arrays[f"{module}.lora_B.weight"].double() @ arrays[f"{module}.lora_A.weight"].double()
            expected = weight.double() + scales[int(name.split("layers.")[1][0])] * product
        torch.testing.assert_close(after[name].double(), expected.double(), rtol=0, atol=1e-6)
    assert inspect_checkpoint(target).problems == []
    load(target, device="cpu")
    assert json.loads((target / "config.json").read_text())["use_peft"] is False


def put_inside(
    folder: Path, base: Path, arrays: dict[str, torch.Tensor], *, wrapped: bool, name: str = "default"
) -> None:
    """Turn an adapter folder into one whose weights hold the adapter, as a network wrapped by PEFT is saved."""
    outer = "base_model.model." if wrapped else ""
    weights = {}
    for key, tensor in load_file(base / WEIGHTS).items():
        module = key.removesuffix(".weight")
        is_changed = f"base_model.model.{module}.lora_A.weight" in arrays
        weights[f"{outer}{module}.base_layer.weight" if wrapped and is_changed else f"{outer}{key}"] = tensor
    for key, tensor in arrays.items():
        inner = key.removeprefix("base_model.model.")
        weights[outer + re.sub(r"(lora_[AB])\.", rf"\1.{name}.", inner)] = tensor
    (folder / ADAPTER).unlink()
    save_file(weights, folder / WEIGHTS)


@pytest.mark.parametrize("wrapped", [True, False])
def test_an_adapter_inside_the_weights_is_merged_like_one_beside_them(tmp_path: Path, wrapped: bool) -> None:
    folder, base, arrays = make_adapter(tmp_path)
    beside = load_file(merge(folder, tmp_path / "beside", base=None, note=NOTE) / WEIGHTS)
    put_inside(folder, base, arrays, wrapped=wrapped)
    assert f"frs policy fetch --convert {folder} --preset NAME" in inspect_checkpoint(folder).problems[0]
    target = merge(folder, tmp_path / "out", base=None, note=NOTE)
    inside = load_file(target / WEIGHTS)
    assert inside.keys() == beside.keys()
    assert all(torch.equal(inside[name], beside[name]) for name in beside)
    load(target, device="cpu")


def test_an_adapter_inside_the_weights_needs_its_scale_stated_once(tmp_path: Path) -> None:
    folder, base, arrays = make_adapter(tmp_path)
    beside = load_file(merge(folder, tmp_path / "beside", base=None, note=NOTE) / WEIGHTS)
    put_inside(folder, base, arrays, wrapped=True, name="mine")
    with pytest.raises(ConfigError, match=r"--lora-scale was given, but 'adapter_config.json' states the scale"):
        merge(folder, tmp_path / "out", base=None, note=NOTE, lora_scale=4.0)
    (folder / ADAPTER_CONFIG).unlink()
    with pytest.raises(ConfigError, match=r"no adapter_config.json beside it states alpha and rank.*--lora-scale"):
        merge(folder, tmp_path / "out", base=None, note=NOTE)
    with pytest.raises(ConfigError, match="--base was given"):
        merge(folder, tmp_path / "out", base=base, note=NOTE, lora_scale=4.0)
    assert fetch(convert=folder, preset="pi05_droid", out=tmp_path / "out", lora_scale=4.0) == 0
    made = load_file(tmp_path / "out" / folder.name / WEIGHTS)
    assert all(torch.equal(made[name], beside[name]) for name in beside)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("lora_magnitude_vector.default.weight", "lora_magnitude_vector.default.weight' belongs to another formula"),
        ("lora_embedding_A.default", "lora_embedding_A.default' belongs to another formula"),
        ("lora_A.other.weight", "holds the adapters default, other, and which of them acts is not stated"),
    ],
)
def test_what_else_lies_beside_the_weights_is_refused_by_name(tmp_path: Path, extra: str, words: str) -> None:
    folder, base, arrays = make_adapter(tmp_path)
    put_inside(folder, base, arrays, wrapped=True)
    weights = load_file(folder / WEIGHTS)
    save_file(weights | {f"base_model.model.{MODULE.format(0, 'k')}.{extra}": torch.ones(4, 4)}, folder / WEIGHTS)
    with pytest.raises(ConfigError, match=words):
        merge(folder, tmp_path / "out", base=None, note=NOTE)
    assert not (tmp_path / "out").exists()


def test_modules_that_were_trained_in_full_take_the_bases_place(tmp_path: Path) -> None:
    folder, base, arrays = make_adapter(tmp_path)
    full = torch.full_like(load_file(base / WEIGHTS)["model.action_in_proj.weight"], 0.25)
    save_file(arrays | {"base_model.model.model.action_in_proj.weight": full}, folder / ADAPTER)
    assert torch.equal(
        load_file(merge(folder, tmp_path / "out", base=None, note=NOTE) / WEIGHTS)["model.action_in_proj.weight"], full
    )


def test_an_adapter_fits_a_base_in_openpis_names(tmp_path: Path) -> None:
    folder, base, _ = make_adapter(tmp_path)
    openpi = make_checkpoint(tmp_path / "openpi")
    ours, theirs = (
        load_file(merge(folder, tmp_path / n, base=b, note=NOTE) / WEIGHTS) for n, b in (("a", base), ("b", openpi))
    )
    name = MODULE.format(1, "q") + ".weight"
    assert torch.equal(ours[name].bfloat16(), theirs[name.removeprefix("model.")])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"use_dora": True}, "LORA with use_dora, plain LoRA is supported"),
        ({"peft_type": "MISS"}, "The adapter is MISS"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights = pissa_niter_4, which also changes the base"),
        ({"use_new_formula": True}, "LORA with use_new_formula"),
        ({"r": 8}, "r = 8 .* its arrays have rank 4"),
        ({"lora_alpha": None}, "lora_alpha = None"),
        ({"rank_pattern": {".*q_proj": 4}}, "pattern '.\\*q_proj', plain names"),
    ],
)
def test_adapters_of_another_formula_are_refused(tmp_path: Path, changes, words) -> None:
    folder, _, _ = make_adapter(tmp_path, **changes)
    with pytest.raises(ConfigError, match=words):
        merge(folder, tmp_path / "out", base=None, note=NOTE)
    assert not (tmp_path / "out").exists()


def test_arrays_without_a_place_or_a_partner_are_named(tmp_path: Path) -> None:
    folder, _, arrays = make_adapter(tmp_path)
    save_file(arrays | {"base_model.model.model.other.lora_A.weight": torch.zeros(4, 4)}, folder / ADAPTER)
    with pytest.raises(ConfigError, match=r"LoRA of 'model.other': only lora_A"):
        merge(folder, tmp_path / "out", base=None, note=NOTE)
    save_file(arrays | {"base_model.model.model.extra.weight": torch.zeros(4, 4)}, folder / ADAPTER)
    with pytest.raises(
        ConfigError, match=r"'base_model.model.model.extra.weight' \(4, 4\) of the adapter has no place"
    ):
        merge(folder, tmp_path / "out", base=None, note=NOTE)


def renamed(arrays: dict[str, torch.Tensor], before: str, after: str) -> dict[str, torch.Tensor]:
    return {name.replace(before, after): tensor.clone() for name, tensor in arrays.items()}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda a: renamed(a, ".weight", ".one.weight") | renamed(a, ".weight", ".two.weight"),
            "holds the adapters one, two",
        ),
        (lambda a: renamed(a, "lora_A", "lora_down"), "is not named as PEFT names plain LoRA"),
        (lambda a: renamed(a, "lora_A", "lora.down"), "is not named as PEFT names plain LoRA"),
        (lambda a: {n: t * 0.0 if "lora_B" in n else t for n, t in a.items()}, "Every lora_B of the adapter is zero"),
        (lambda a: {n: t.to(torch.int8) for n, t in a.items()}, "is stored as torch.int8, expected floating point"),
        (
            lambda a: {n: t for n, t in a.items() if "layers.1" not in n},
            "name 4 matrices of the base, and 2 have no arrays",
        ),
    ],
)
def test_an_adapter_that_is_not_whole_or_not_pefts_is_refused(tmp_path: Path, change, words) -> None:
    folder, _, arrays = make_adapter(
        tmp_path, target_modules=[f"gemma_expert.model.layers.{i}.self_attn.{k}_proj" for i in (0, 1) for k in "qv"]
    )
    save_file(change(arrays), folder / ADAPTER)
    with pytest.raises(ConfigError, match=re.escape(words)):
        merge(folder, tmp_path / "out", base=None, note=NOTE)
    assert not (tmp_path / "out").exists()


PATTERN = r"(.*\.gemma_expert\..*\.self_attn\.(q|v)_proj|model\.(action_in_proj|action_out_proj))"
"""Source: LeRobot modeling_pi05.py, `_get_default_peft_targets`."""


def of_layers(*numbers: int) -> Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]:
    return lambda arrays: {n: t for n, t in arrays.items() if any(f"layers.{i}." in n for i in numbers)}


@pytest.mark.parametrize(
    ("changes", "change", "words"),
    [
        ({"target_modules": PATTERN}, dict, "name 6 matrices of the base, and 2 have no arrays in it"),
        ({"target_modules": PATTERN}, of_layers(0), "and 4 have no arrays in it"),
        ({"target_modules": "all-linear"}, dict, "have no arrays in it"),
        ({"target_modules": ["gemma_expert.(", 1]}, dict, "target_modules = ['gemma_expert.(', 1], expected"),
        ({"target_modules": "("}, dict, "a pattern in target_modules that is none"),
        ({}, of_layers(0), "self_attn.q_proj.weight' and not 'paligemma_with_expert.gemma_expert.model.layers.1"),
        (
            {"target_modules": ["q_proj"], "exclude_modules": ".*(vision|language).*", "layers_to_transform": [0, 1]},
            of_layers(0),
            "name 2 matrices of the base, and 1 have no arrays in it",
        ),
        ({"modules_to_save": ["action_out_proj"]}, dict, "'action_out_proj', trained in full, and 2 of its 2 arrays"),
        ({"modules_to_save": "action_out_proj"}, dict, "modules_to_save = 'action_out_proj', expected a list"),
        ({"bias": "all"}, dict, "bias = 'all', and its file holds no bias"),
        ({}, lambda a: {n: t.to(torch.float8_e4m3fn) for n, t in a.items()}, "is stored as torch.float8_e4m3fn"),
        ({}, lambda a: {n: t * float("nan") for n, t in a.items()}, "of the adapter holds numbers that are not finite"),
        ({"lora_alpha": 0}, dict, "lora_alpha = 0 for"),
        ({"lora_alpha": -16}, dict, "lora_alpha = -16 for"),
        ({"rank_pattern": ["q_proj"]}, dict, "rank_pattern = ['q_proj'], expected a table"),
    ],
)
def test_an_adapter_that_its_configuration_does_not_fit_is_refused(tmp_path: Path, changes, change, words) -> None:
    folder, _, arrays = make_adapter(tmp_path, **changes)
    save_file(change(arrays), folder / ADAPTER)
    with pytest.raises(ConfigError, match=re.escape(words)):
        merge(folder, tmp_path / "out", base=None, note=NOTE)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "change"),
    [
        ({"target_modules": r".*\.gemma_expert\..*\.self_attn\.(q|v)_proj"}, dict),
        ({"target_modules": r".*expert\.model.*_proj", "exclude_modules": r".*(mlp|k_proj|o_proj).*"}, dict),
        ({"target_modules": ["q_proj", "v_proj"], "exclude_modules": r".*(vision|language).*"}, dict),
        (
            {
                "target_modules": ["q_proj", "v_proj"],
                "exclude_modules": r".*(vision|language).*",
                "layers_to_transform": [1],
            },
            of_layers(1),
        ),
    ],
)
def test_an_adapter_of_the_modules_that_peft_would_choose_is_whole(tmp_path: Path, changes, change) -> None:
    folder, _, arrays = make_adapter(tmp_path, **changes)
    save_file(change(arrays), folder / ADAPTER)
    assert (merge(folder, tmp_path / "out", base=None, note=NOTE) / WEIGHTS).is_file()


@pytest.mark.parametrize("kind", [torch.int8, torch.float8_e4m3fn])
def test_a_base_that_is_quantised_is_refused_before_anything_is_written(tmp_path: Path, kind) -> None:
    folder, base, _ = make_adapter(tmp_path)
    weights = load_file(base / WEIGHTS)
    save_file({n: t.to(kind) if t.ndim == 2 else t for n, t in weights.items()}, base / WEIGHTS)
    with pytest.raises(ConfigError, match="quantised weights are not read"):
        merge(folder, tmp_path / "out", base=None, note=NOTE)
    assert not (tmp_path / "out").exists()


def test_a_wrapped_module_without_its_arrays_is_named(tmp_path: Path) -> None:
    folder, base, arrays = make_adapter(tmp_path)
    put_inside(folder, base, arrays, wrapped=True)
    module = MODULE.format(1, "v")
    weights = {n: t for n, t in load_file(folder / WEIGHTS).items() if f"{module}.lora" not in n}
    save_file(weights, folder / WEIGHTS)
    with pytest.raises(ConfigError, match=rf"the weights of '{module}' as an adapter leaves them"):
        merge(folder, tmp_path / "out", base=None, note=NOTE)


@pytest.mark.parametrize("name", [ADAPTER, "config.json", "adapter_model.bin"])
def test_a_file_of_an_adapter_that_is_missing_or_cut_is_named(tmp_path: Path, name: str) -> None:
    folder, _, _ = make_adapter(tmp_path)
    if name == "config.json":
        (folder / name).write_text("{")
        said = "is not readable JSON"
    elif name == ADAPTER:
        (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 7233000000\n")
        said = "is a Git LFS pointer"
    else:
        (folder / ADAPTER).rename(folder / name)
        said = "'adapter_model.bin' holds Python objects"
    with pytest.raises((ConfigError, WeightsMissing), match=said):
        merge(folder, tmp_path / "out", base=None, note=NOTE)
    assert not (tmp_path / "out").exists()


def test_a_base_that_is_not_here_is_asked_for(tmp_path: Path) -> None:
    folder, _, _ = make_adapter(tmp_path, base_model_name_or_path="lerobot/pi05_base")
    with pytest.raises(
        WeightsMissing, match=r"changes the weights of 'lerobot/pi05_base'.* add --base weights/pi05_base"
    ):
        merge(folder, tmp_path / "out", base=None, note=NOTE)


def test_statistics_of_the_base_do_not_stand_in_for_the_adapters(tmp_path: Path) -> None:
    folder, _, _ = make_adapter(tmp_path)
    (folder / "config.json").unlink()
    with pytest.raises(WeightsMissing, match="those of the base may be of another robot"):
        merge(folder, tmp_path / "out", base=None, note=NOTE)


def test_the_command_merges_and_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, base, _ = make_adapter(tmp_path)
    assert fetch(convert=folder, base=base, preset="pi05_droid", out=tmp_path / "weights") == 0
    assert "complete" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="belong to --convert"):
        fetch(base=base)
