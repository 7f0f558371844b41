"""`frs policy …`: judge checkpoints and get published ones.

Example: `frs policy fetch pi05_droid --out weights`, then `frs policy check weights/pi05_droid`.
"""

import json
import shlex
import shutil
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from frs_core.commands.printing import console, mark

Target = Annotated[Path, tyro.conf.Positional]
Name = Annotated[str, tyro.conf.Positional]

MOST_PROBLEMS = 12
"""Lines; a checkpoint of another network has hundreds that say the same."""


def check(
    path: Target,
    *,
    preset: str | None = None,
    horizon: int | None = None,
    norm_stats: Path | None = None,
    tokenizer: Path | None = None,
) -> int:
    """Tell what a checkpoint is and whether it is complete; reads no weights, moves nothing.

    Exit code 0 when it can be loaded, 1 when not; every reason is one line.

    Args:
        path: Folder with model.safetensors (openpi converted, or LeRobot).
        preset: Meaning of its actions, where the folder's name does not tell (pi05_droid, pi05_libero, ...).
        horizon: Rows of a chunk, for a fine-tune that changed its preset's.
        norm_stats: Statistics file, when it lies elsewhere.
        tokenizer: SentencePiece file, when it lies elsewhere.
    """
    from frs_core.policies.pi05.checkpoint import inspect_checkpoint

    page = console()
    found = inspect_checkpoint(path, preset=preset, horizon=horizon, norm_stats=norm_stats, tokenizer=tokenizer)
    rows: list[tuple[str, object]] = [("folder", found.root), ("family", found.family)]
    if found.size is not None:
        size = found.size
        rows += [
            (
                "weights",
                f"{size.parameters() / 1e6:,.1f} M used, names {'with' if found.prefix else 'without'} 'model.'",
            ),
            ("prefix", f"{size.text.depth} layers x {size.text.width}, {size.vision.tokens} tokens per picture"),
            ("expert", f"{size.expert.depth} layers x {size.expert.width}, {size.width} columns"),
        ]
    rows += [("horizon", f"{found.horizon} rows, {found.execute_rows} executed")] if found.horizon else []
    if found.preset is not None:
        rows += [
            ("meaning", f"{found.preset.name}: {found.preset.action_kind.value} at {found.preset.control_hz:g} Hz"),
            ("prompt", found.prompt.value),
            (
                "cameras",
                ", ".join(f"{k} <- {c}" for k, c in zip(found.picture_keys, found.preset.cameras, strict=False)),
            ),
        ]
    rows += [("tokenizer", found.tokenizer)] if found.tokenizer else []
    rows += [("fingerprint", found.fingerprint()[:16])] if not found.problems else []
    for label, value in rows:
        page.print(mark(f"{label:>12}", "dim"), f" {value}", soft_wrap=True)
    for note in found.notes:
        page.print(mark(f"{'note':>12}", "dim"), f" {note}", soft_wrap=True)
    for problem in found.problems[:MOST_PROBLEMS]:
        page.print(mark(f"{'✗':>12}", "red"), f" {problem}", soft_wrap=True)
    if len(found.problems) > MOST_PROBLEMS:
        page.print(mark(f"{'✗':>12}", "red"), f" and {len(found.problems) - MOST_PROBLEMS} more", soft_wrap=True)
    if found.problems:
        page.print(
            f"{'':>12}  It cannot be loaded. `frs policy fetch` lists what is published; docs/pi05.md says what a folder holds."
        )
    if not found.problems:
        page.print(
            mark(f"{'✓':>12}", "green"),
            f" complete: frs --policy pi05 --policy-options path {shlex.quote(str(found.root))}",
        )
    return 1 if found.problems else 0


def fetch(
    name: Name = "",
    *,
    out: Path = Path("weights"),
    hub: str | None = None,
    preset: str | None = None,
    tokenizer_only: bool = False,
    convert: Path | None = None,
    keep_source: bool = False,
) -> int:
    """Get published pi0.5 weights, check every file, and convert them for this product.

    Without a name, lists what is published. A broken transfer goes on where it stopped when the command is given again.
    Weights fall under the Gemma terms of use (https://ai.google.dev/gemma/terms).

    Args:
        name: Published checkpoint of openpi, e.g. pi05_droid (12 GB down, 7 GB converted).
        out: Folder that gets one folder per checkpoint.
        hub: Instead: a LeRobot pi05 repository "owner/name" on the Hugging Face hub; needs no conversion.
        preset: Meaning of the actions; needed with --hub and --convert where the name does not tell.
        tokenizer_only: Get only PaliGemma's vocabulary.
        convert: Instead: convert openpi's checkpoint of this folder (params/ and assets/), no network needed.
        keep_source: Keep openpi's own files after conversion.
    """
    from frs_core.errors import ConfigError
    from frs_core.policies.pi05 import fetch as remote
    from frs_core.policies.pi05.checkpoint import NOTE
    from frs_core.policies.pi05.convert import convert as convert_folder
    from frs_core.policies.pi05.presets import find_preset, need_preset, preset_from_name

    page = console()
    if convert is not None:
        meaning = find_preset(preset) if preset else preset_from_name(convert.resolve().name)
        if meaning is None:
            raise need_preset(convert.name)
        folder = convert_folder(convert, out / meaning.name, preset=meaning)
        return check(folder)
    if tokenizer_only:
        _get_tokenizer(page, out)
        return 0
    if hub is not None:
        meaning = find_preset(preset) if preset else preset_from_name(hub.split("/")[-1])
        if meaning is None:
            raise need_preset(hub)
        folder = out / hub.split("/")[-1]
        _get(page, remote.list_hub(hub), folder)
        (folder / NOTE).write_text(json.dumps({"preset": meaning.name, "source": f"hub:{hub}"}, indent=2) + "\n")
        shutil.copy(_get_tokenizer(page, out), folder)
        return check(folder)
    if not name:
        for known, published in remote.PUBLISHED.items():
            page.print(f"{known:<32} gs://{remote.BUCKET}/{published.prefix}")
        page.print(mark("Also: --hub owner/name for LeRobot's pi05, --convert FOLDER for what is already here.", "dim"))
        return 0
    published = remote.find_published(name)
    if preset is not None and preset != published.preset:
        raise ConfigError(f"'{name}' means '{published.preset}', got preset '{preset}'. Leave it out.")
    folder, source = out / name, out / f"{name}.openpi"
    if not (folder / "model.safetensors").is_file():
        _get(page, remote.list_bucket(remote.BUCKET, published.prefix), source)
        page.print("Converting …")
        origin = f"gs://{remote.BUCKET}/{published.prefix}"
        convert_folder(source, folder, preset=find_preset(published.preset), origin=origin)
        if not keep_source:
            shutil.rmtree(source)
    shutil.copy(_get_tokenizer(page, out), folder)
    return check(folder)


def _get_tokenizer(page: Console, out: Path) -> Path:
    from frs_core.policies.pi05 import fetch as remote

    bucket, name = remote.TOKENIZER
    if not (out / name).is_file():
        _get(page, [f for f in remote.list_bucket(bucket, name) if f.path == name], out)
    return out / name


def _get(page: Console, files: list, target: Path) -> None:
    from frs_core.policies.pi05.fetch import RemoteFile, fetch_files

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

        def told(path: str, have: int, _: int) -> None:
            arrived[path] = have
            bar.update(total, completed=sum(arrived.values()))

        fetch_files(listed, target, progress=told)
    page.print(f"{len(listed)} files, {sum(f.size for f in listed) / 1e9:.2f} GB in {target}")
