"""`frs policy …`: check checkpoints and download published ones.

Example: `frs policy fetch pi05_droid --out weights`, then `frs policy check weights/pi05_droid`.
"""

import json
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from frs_core.commands.printing import console, mark
from frs_core.counts import counted
from frs_core.runtime.bounds import Positive, Size

if TYPE_CHECKING:
    from frs_core.policies.pi05.checkpoint_facts import Checkpoint

Target = Annotated[Path, tyro.conf.Positional]
Name = Annotated[str, tyro.conf.Positional]

OPENPI_ENDING = ".openpi"
"""After a checkpoint's name: the folder of openpi's own files."""
MOST_PROBLEMS = 12
"""Lines; a checkpoint of another network has hundreds that say the same."""


def check(
    path: Target,
    *,
    preset: str | None = None,
    horizon: Size | None = None,
    norm_stats: Path | None = None,
    tokenizer: Path | None = None,
    cameras: str | None = None,
    prompt_state_size: Size | None = None,
    quick: bool = False,
) -> int:
    """Show what a checkpoint is and whether it can be loaded, by loading it: every weight is read, and one chunk is sampled.

    Exit code 0 when it can be loaded, 1 when not; every reason is one line.

    Args:
        path: Folder with model.safetensors (openpi converted, or LeRobot).
        preset: Meaning of its actions, where the folder has no note and is not a published checkpoint (pi05_droid, pi05_libero, ...).
        horizon: Rows of a chunk, for a fine-tune that changed its preset's.
        norm_stats: Statistics file, if it is elsewhere.
        tokenizer: SentencePiece file, if it is elsewhere.
        cameras: Which camera fills which image input, if the names do not show it, such as base_0_rgb=left,left_wrist_0_rgb=wrist.
        prompt_state_size: Numbers of the robot's state in the prompt: 32 for what LeRobot 0.4 trained, which added zeros; default the state's own.
        quick: Read headers only, which takes milliseconds; weights that are not finite and a network that samples no actions are then found by
            loading only.
    """
    from frs_core.policies.pi05.checkpoint import inspect_checkpoint

    page = console()
    given = {
        "preset": preset,
        "horizon": horizon,
        "norm_stats": norm_stats,
        "tokenizer": tokenizer,
        "cameras": cameras,
        "prompt_state_size": prompt_state_size,
    }
    found = inspect_checkpoint(
        path,
        preset=preset,
        horizon=horizon,
        norm_stats=norm_stats,
        tokenizer=tokenizer,
        cameras=cameras,
        prompt_state_size=prompt_state_size,
    )
    is_read = not quick and found.size is not None and not found.problems
    if is_read:
        with page.status(f"Loading {found.weights_bytes / 1e9:.1f} GB of weights …"):
            found.problems += _why_not_loading(found)
    rows: list[tuple[str, object]] = [("folder", found.root), ("family", found.family)]
    if found.size is not None:
        size = found.size
        rows += [
            (
                "weights",
                f"{size.parameters() / 1e6:,.1f} M used, names {'with' if found.is_lerobot_named else 'without'} 'model.'",
            ),
            ("prefix", f"{size.text.depth} layers x {size.text.width}, {size.vision.tokens} tokens per image"),
            ("expert", f"{size.expert.depth} layers x {size.expert.width}, {size.width} columns"),
        ]
    rows += [("horizon", f"{found.horizon} rows, {found.execute_rows} executed")] if found.horizon else []
    if found.preset is not None:
        rows += [
            (
                "meaning",
                f"{found.preset.name}: {found.preset.action_kind.value} at {found.preset.control_hz:g} Hz, {found.meaning_from}",
            ),
            (
                "prompt",
                found.prompt.value + (f", {found.prompt_zeros} zeros after the state" if found.prompt_zeros else ""),
            ),
            (
                "cameras",
                ", ".join(f"{name} <- {camera}" for name, camera in found.pairing)
                or f"not paired with {', '.join(found.image_keys or ()) or 'any image input'}",
            ),
        ]
    rows += [("tokenizer", found.tokenizer)] if found.tokenizer else []
    rows += [("fingerprint", found.fingerprint()[:16])] if not found.problems else []
    for label, value in rows:
        page.print(mark(f"{label:>12}", "dim"), f" {value}", soft_wrap=True)
    for note in (*found.notes, *found.assumed_notes):
        page.print(mark(f"{'note':>12}", "dim"), f" {note}", soft_wrap=True)
    for problem in found.problems[:MOST_PROBLEMS]:
        page.print(mark(f"{'✗':>12}", "red"), f" {problem}", soft_wrap=True)
    if len(found.problems) > MOST_PROBLEMS:
        page.print(mark(f"{'✗':>12}", "red"), f" and {len(found.problems) - MOST_PROBLEMS} more", soft_wrap=True)
    if found.problems:
        page.print(
            f"{'':>12}  It cannot be loaded. `frs policy fetch` lists what is published; docs/pi05.md describes the contents of a folder."
        )
    if not found.problems:
        options = {"path": found.root} | {name: value for name, value in given.items() if value is not None}
        words = " ".join(f"{name} {shlex.quote(str(value))}" for name, value in options.items())
        page.print(
            mark(f"{'✓':>12}", "green"),
            f" complete{'' if is_read else ' (the weights were not read, and nothing was sampled)'}: frs --policy pi05 --policy-options {words}",
            soft_wrap=True,
        )
    return 1 if found.problems else 0


def _why_not_loading(found: "Checkpoint") -> list[str]:
    """Return what loading says of a checkpoint whose headers are sound; of weights that are not finite, one sentence per tensor.

    Without a GPU and with less memory free than the weights take, they are read one by one, and a note says that nothing was sampled.
    """
    import psutil
    import torch

    from frs_core.errors import FrsError
    from frs_core.policies.pi05.loading import load_inspected
    from frs_core.policies.pi05.weights import why_no_weights

    assert found.size is not None
    needed, free = 4 * found.size.parameters(), psutil.virtual_memory().available
    if needed > free and not torch.cuda.is_available():
        found.notes.append(
            f"Nothing was sampled: on this machine's processor the weights take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free. Loading "
            f"samples once where it runs."
        )
        return why_no_weights(found.files, found.size)
    try:
        load_inspected(found).close()
    except FrsError as error:
        return why_no_weights(found.files, found.size) or [str(error)]
    return []


def fetch(
    name: Name = "",
    *,
    out: Path = Path("weights"),
    hub: str | None = None,
    preset: str | None = None,
    tokenizer_only: bool = False,
    convert: Path | None = None,
    base: Path | None = None,
    horizon: Size | None = None,
    lora_scale: Positive | None = None,
    keep_source: bool = False,
) -> int:
    """Download published pi0.5 weights, check every file, and convert them.

    Without a name, lists the published checkpoints. Run the command again to continue an interrupted download.
    The weights are under the Gemma terms of use (https://ai.google.dev/gemma/terms).

    Args:
        name: Published checkpoint of openpi, e.g. pi05_droid (12 GB to download, 7 GB converted).
        out: Folder that receives one folder per checkpoint.
        hub: Instead: a LeRobot pi05 repository "owner/name" on the Hugging Face hub; needs no conversion.
        preset: Meaning of the actions; needed with --hub, and with --convert unless the folder is named exactly as it was published.
        tokenizer_only: Download only PaliGemma's vocabulary.
        convert: Instead: convert openpi's checkpoint of this folder (params/ and assets/), or merge the PEFT adapter in this folder or in its weights;
            no network needed.
        base: With --convert of an adapter: the checkpoint that it changes, if the adapter's configuration does not name its folder.
        horizon: With --convert of openpi's checkpoint, which does not state it: rows of a chunk; default the preset's.
        lora_scale: With --convert, where no adapter_config.json states it: alpha / rank; of openpi's LoRA that of the attention's adapters, 1 for
            gemma_2b_lora and gemma_300m_lora.
        keep_source: Keep openpi's own files after conversion.
    """
    from frs_core.errors import ConfigError
    from frs_core.making.pi05 import fetch as remote

    page = console()
    if convert is None and (base is not None or lora_scale is not None or horizon is not None):
        raise ConfigError("--base, --horizon and --lora-scale belong to --convert. Give the folder as --convert.")
    if not (name or tokenizer_only or hub is not None or convert is not None):
        for known, published in remote.PUBLISHED.items():
            page.print(f"{known:<32} gs://{remote.BUCKET}/{published.prefix}")
        page.print(mark("Also: --hub owner/name for LeRobot's pi05, --convert FOLDER for what is already here.", "dim"))
        return 0
    from frs_core.making.pi05.convert import convert as convert_folder
    from frs_core.making.pi05.new_folder import new_folder
    from frs_core.policies.pi05.adapters import is_inside, merge
    from frs_core.policies.pi05.checkpoint_facts import NOTE
    from frs_core.policies.pi05.places import ADAPTER_CONFIG, PARAMS, name_of_run, require_convertible
    from frs_core.policies.pi05.presets import find_preset, need_preset, published_preset

    if convert is not None:
        require_convertible(convert)
        # `fetch` itself keeps openpi's own files of a checkpoint under its name and this ending.
        title = convert.resolve().name.removesuffix(OPENPI_ENDING)
        meaning = find_preset(preset) if preset else published_preset(title)
        if meaning is None:
            raise need_preset(title)
        if not preset:
            page.print(f"Meaning {meaning.name} ({meaning.summary}), taken from its published name.")
        folder = out / name_of_run(convert).removesuffix(OPENPI_ENDING)
        if folder.resolve() == convert.resolve():
            raise ConfigError(f"'{convert}' would be converted into itself. Choose another --out.")
        if (convert / ADAPTER_CONFIG).is_file() or is_inside(convert):
            if horizon is not None:
                raise ConfigError("--horizon was given, but the adapter's config.json states it. Leave it out.")
            note: dict[str, Any] = {"preset": meaning.name, "source": str(convert)}
            note |= {} if lora_scale is None else {"lora_scale": lora_scale}
            with new_folder(folder) as made:
                merge(convert, made, base=base, note=note, lora_scale=lora_scale)
        elif not (convert / PARAMS).is_file():
            raise ConfigError(
                f"'{convert}' holds weights without an adapter, which need no conversion. Check them with `frs policy check {convert}`."
            )
        elif base is not None:
            raise ConfigError(f"--base was given, but '{convert}' has no {ADAPTER_CONFIG}. Leave it out.")
        else:
            with new_folder(folder) as made:
                # What bears its published name was trained with the published horizon.
                rows = meaning.horizon if horizon is None and meaning == published_preset(title) else horizon
                convert_folder(convert, made, preset=meaning, horizon=rows, lora_scale=lora_scale)
        return check(folder)
    if tokenizer_only:
        _get_tokenizer(page, out)
        return 0
    if hub is not None:
        remote.require_repository(hub)
        if preset is None:
            raise need_preset(hub)
        meaning = find_preset(preset)
        folder = out / hub.split("/")[-1]
        _get(page, remote.list_hub(hub), folder)
        (folder / NOTE).write_text(json.dumps({"preset": meaning.name, "source": f"hub:{hub}"}, indent=2) + "\n")
        shutil.copy(_get_tokenizer(page, out), folder)
        return check(folder)
    published = remote.find_published(name)
    if preset is not None and preset != published.preset:
        raise ConfigError(f"'{name}' means '{published.preset}', got preset '{preset}'. Leave it out.")
    folder, source = out / name, out / f"{name}{OPENPI_ENDING}"
    if not (folder / "model.safetensors").is_file():
        _get(page, remote.list_bucket(remote.BUCKET, published.prefix), source)
        page.print("Converting …")
        origin = f"gs://{remote.BUCKET}/{published.prefix}"
        with new_folder(folder) as made:
            meaning = find_preset(published.preset)
            convert_folder(source, made, preset=meaning, horizon=meaning.horizon, origin=origin)
        if not keep_source:
            shutil.rmtree(source)
    shutil.copy(_get_tokenizer(page, out), folder)
    return check(folder)


def _get_tokenizer(page: Console, out: Path) -> Path:
    from frs_core.making.pi05 import fetch as remote

    bucket, name = remote.TOKENIZER
    if not (out / name).is_file():
        _get(page, [f for f in remote.list_bucket(bucket, name) if f.path == name], out)
    return out / name


def _get(page: Console, files: list[Any], target: Path) -> None:
    from frs_core.making.pi05.fetch import RemoteFile, fetch_files

    listed: list[RemoteFile] = files
    columns = (
        TextColumn("{task.description}", table_column=None, markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=page, transient=True) as bar:
        total = bar.add_task(target.name, total=sum(f.size for f in listed))
        arrived: dict[str, int] = {f.path: f.size for f in listed if (target / f.path).is_file()}

        def report(path: str, have: int, _: int) -> None:
            arrived[path] = have
            bar.update(total, completed=sum(arrived.values()))

        fetch_files(listed, target, progress=report)
    page.print(f"{counted(len(listed), 'file')}, {sum(f.size for f in listed) / 1e9:.2f} GB in {target}")
