"""Download published weights: list what exists, and fetch files over an unreliable network.

Problem: a checkpoint is 12 GB in hundreds of files; connections drop, disks fill, proxies answer with a web page. Idea:
the store first lists every file with size and checksum; each is written under a temporary name, resumed after an interruption,
and renamed only when size and checksum agree. Fetching again resumes.

Example: `fetch_files(list_bucket("openpi-assets", "checkpoints/pi05_droid/"), target)`. Standard library only; a terminal
command runs it.
"""

import base64
import contextlib
import hashlib
import re
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import Any

from frs_core.errors import ConfigError, DownloadFailed, unknown_name
from frs_core.runtime.address import shown
from frs_core.runtime.foreign import DOCUMENT, MALFORMED, open_plain, parse_json, said
from frs_core.wire.proxy import opener_for, reason_of, through

TIMEOUT_S = 30.0
"""An attempt fails after this long without an answer or a byte."""
ATTEMPTS = 5
_CHUNK = 1 << 20

Progress = Callable[[str, int, int], None]
"""(file, bytes so far, bytes in all)."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses of the stores."""

    bucket: str = "https://storage.googleapis.com"
    hub: str = "https://huggingface.co"


@dataclass(frozen=True, slots=True)
class Published:
    """One published checkpoint of openpi."""

    prefix: str
    """Folder in the bucket, with a trailing slash."""
    preset: str


BUCKET = "openpi-assets"
PUBLISHED = {
    "pi05_droid": Published("checkpoints/pi05_droid/", "pi05_droid"),
    "pi05_libero": Published("checkpoints/pi05_libero/", "pi05_libero"),
    "pi05_droid_jointpos_polaris": Published(
        "checkpoints/polaris/pi05_droid_jointpos_polaris/", "pi05_droid_jointpos_polaris"
    ),
}
"""Source: openpi README and training/config.py."""

TOKENIZER = ("big_vision", "paligemma_tokenizer.model")
"""Bucket and file of PaliGemma's vocabulary. Source: openpi models/tokenizer.py."""


_REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file to download."""

    url: str
    path: str
    """Path inside the target folder."""
    size: int
    algorithm: str
    """"md5" or "sha256"; empty when the store gives no checksum."""
    digest: str
    """Hexadecimal."""


def find_published(name: str) -> Published:
    """Return a published checkpoint by name.

    Raises:
        ConfigError: unknown name.
    """
    if name not in PUBLISHED:
        raise unknown_name("published checkpoint", name, PUBLISHED)
    return PUBLISHED[name]


def list_bucket(bucket: str, prefix: str, *, endpoints: Endpoints = Endpoints()) -> list[RemoteFile]:
    """Return the files under a prefix of a public Google Cloud bucket.

    Raises:
        DownloadFailed: no answer, or nothing there.
    """
    files, token = list[RemoteFile](), ""
    while True:
        query = {"prefix": prefix, "fields": "items(name,size,md5Hash),nextPageToken", "pageToken": token}
        url = f"{endpoints.bucket}/storage/v1/b/{bucket}/o?{urllib.parse.urlencode({k: v for k, v in query.items() if v})}"
        page = _get_json(url)
        with _understood(url):
            for item in page.get("items", []):
                path = item["name"].removeprefix(prefix) or PurePosixPath(item["name"]).name
                if path.endswith("/"):
                    continue
                md5 = base64.b64decode(item.get("md5Hash", "")).hex()
                address = f"{endpoints.bucket}/{bucket}/{urllib.parse.quote(item['name'])}"
                files.append(RemoteFile(address, path, int(item["size"]), "md5" if md5 else "", md5))
            token = page.get("nextPageToken", "")
        if not token:
            break
    if not files:
        raise DownloadFailed(f"Bucket '{bucket}' holds nothing under '{prefix}'. Check the name; it may have moved.")
    return files


def require_repository(name: str) -> None:
    """Do nothing, unless a text is no "owner/name". Raises ConfigError."""
    if not _REPOSITORY.fullmatch(name):
        raise ConfigError(
            f"'{shown(name).partition('?')[0]}' is no name of a repository on the hub. Write owner/name, as the title of its page there says it."
        )


def list_hub(repository: str, *, endpoints: Endpoints = Endpoints()) -> list[RemoteFile]:
    """Return the files of a model repository on the hub.

    Args:
        repository: "owner/name".
        endpoints: where the hub answers.
    Raises:
        ConfigError: no name of a repository, such as its whole address.
        DownloadFailed: no answer, no such repository, or access needs a licence.
    """
    require_repository(repository)
    url = f"{endpoints.hub}/api/models/{repository}/tree/main?recursive=true"
    tree, files = _get_json(url), list[RemoteFile]()
    with _understood(url):
        for item in tree:
            if item.get("type") != "file" or item["path"].startswith("."):
                continue
            digest = (item.get("lfs") or {}).get("oid", "").removeprefix("sha256:")
            address = f"{endpoints.hub}/{repository}/resolve/main/{urllib.parse.quote(item['path'])}"
            files.append(RemoteFile(address, item["path"], int(item["size"]), "sha256" if digest else "", digest))
    if not files:
        raise DownloadFailed(f"Repository '{repository}' is empty. Check the name.")
    return files


@contextlib.contextmanager
def _understood(url: str) -> Generator[None]:
    """Within, a store's list is read. Raises DownloadFailed where it is something else, as behind a sign-in page."""
    try:
        yield
    except MALFORMED as error:
        raise DownloadFailed(
            f"What answers is no list of files ({shown(said(error))}); a sign-in page of the network may. Fetch the files on "
            f"another machine and copy the folder. Tried {shown(url)}"
        ) from error


def fetch_files(files: Sequence[RemoteFile], target: Path, *, progress: Progress = lambda *_: None) -> None:
    """Download all files to a folder; files that are already complete are not downloaded again.

    Args:
        files: what to download.
        target: folder; created if missing.
        progress: called after every megabyte.
    Raises:
        ConfigError: not enough free space, or a listed path lies outside the folder.
        DownloadFailed: a file could not be completed; calling again continues.
    """
    target.mkdir(parents=True, exist_ok=True)
    root = target.resolve()
    for file in files:
        if not (root / file.path).resolve().is_relative_to(root):
            raise ConfigError(f"The store lists '{file.path}', which lies outside the folder. Nothing was fetched.")
    todo = [f for f in files if not _is_whole(root / f.path, f)]
    needed = sum(f.size for f in todo)
    free = shutil.disk_usage(target).free
    if needed > free:
        raise ConfigError(
            f"{needed / 1e9:.1f} GB are needed, '{target}' has {free / 1e9:.1f} GB free. Choose another disk."
        )
    for file in todo:
        _fetch(file, root / file.path, progress)


def _is_whole(path: Path, file: RemoteFile) -> bool:
    return path.is_file() and path.stat().st_size == file.size


def _fetch(file: RemoteFile, path: Path, progress: Progress) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    reason = ""
    for _ in range(ATTEMPTS):
        try:
            _continue(file, partial, progress)
        except (OSError, HTTPException) as error:
            reason = reason_of(error)
            if isinstance(error, urllib.error.HTTPError) and error.code in (401, 403, 404):
                break
            continue
        got = partial.stat().st_size
        if got < file.size:
            reason = f"{got} of {file.size} bytes arrived"
            continue
        if got == file.size and _digest(partial, file.algorithm) == file.digest:
            partial.rename(path)
            return
        # A download with wrong bytes cannot be resumed.
        partial.unlink()
        reason = "size or checksum is wrong"
    raise DownloadFailed(
        f"'{file.path}' was not fetched{through(file.url)}: {reason}. What arrived is kept; run the command again to continue. Tried "
        f"{shown(file.url)}"
    )


def _continue(file: RemoteFile, partial: Path, progress: Progress) -> None:
    have = partial.stat().st_size if partial.exists() else 0
    if have >= file.size > 0:
        return
    request = urllib.request.Request(file.url, headers={"Range": f"bytes={have}-"} if have else {})
    with opener_for(file.url, follows=True).open(request, timeout=TIMEOUT_S) as answer:
        is_rest = answer.status == 206
        with partial.open("ab" if is_rest else "wb") as out:
            have = have if is_rest else 0
            while block := answer.read(_CHUNK):
                out.write(block)
                have += len(block)
                progress(file.path, have, file.size)


def _digest(path: Path, algorithm: str) -> str:
    if not algorithm:
        return ""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open_plain(path, may_link=True) as file:
        while block := file.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()


def _get_json(url: str) -> Any:
    opener = opener_for(url, follows=True)
    try:
        with opener.open(url, timeout=TIMEOUT_S) as answer:
            return parse_json(answer.read(DOCUMENT))
    except urllib.error.HTTPError as error:
        hint = {401: "it needs a login or an accepted licence", 403: "access is refused", 404: "it does not exist"}
        raise DownloadFailed(
            f"No list of files{through(url)}: {hint.get(error.code, reason_of(error))}. Tried {shown(url)}"
        ) from error
    except (OSError, ValueError, HTTPException) as error:
        raise DownloadFailed(
            f"No list of files, the network does not answer{through(url)} ({reason_of(error)}). Fetch the files on a connected machine and copy the "
            f"folder. Tried {shown(url)}"
        ) from error
