"""Getting checkpoints: a small store on this machine that breaks in the ways real ones do."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest

from frs_core.commands import policy as policy_commands
from frs_core.errors import ConfigError, DownloadFailed
from frs_core.making.pi05 import fetch
from frs_core.making.pi05.fetch import Endpoints, RemoteFile, fetch_files, list_bucket, list_hub
from tests.waiting import LONG_S

CONTENT = {"params/a": bytes(range(256)) * 40, "assets/droid/norm_stats.json": b'{"norm_stats": {}}', "empty": b""}


class Store:
    """What the server holds, and how it misbehaves."""

    def __init__(self) -> None:
        self.cut_after: int | None = None
        self.corrupt = False
        self.ranges: list[str | None] = []
        self.endpoints = Endpoints()


@pytest.fixture
def store() -> Iterator[Store]:
    state = Store()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            url = urlparse(self.path)
            if url.path.startswith("/storage/v1/"):
                return self._answer(_bucket_page(parse_qs(url.query)))
            if url.path.startswith("/api/models/"):
                return self._answer(_hub_tree())
            name = next((n for n in CONTENT if url.path.endswith(n)), None)
            if name is None:
                return self.send_error(404)
            body = CONTENT[name]
            start = self.headers["Range"]
            state.ranges.append(start)
            skip = int(start.removeprefix("bytes=").rstrip("-")) if start else 0
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body) - skip))
            self.end_headers()
            body = bytes(255 - b for b in body) if state.corrupt else body
            rest = body[skip:]
            if state.cut_after is not None and len(rest) > state.cut_after:
                rest, state.cut_after = rest[: state.cut_after], None
            self.wfile.write(rest)
            return None

        def _answer(self, data: object) -> None:
            body = json.dumps(data).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    state.endpoints = Endpoints(bucket=address, hub=address)
    yield state
    server.shutdown()
    server.server_close()
    thread.join(LONG_S)


def _bucket_page(query: dict[str, list[str]]) -> dict[str, object]:
    """Return one object per page, as a bucket of many would."""
    names = list(CONTENT)
    index = int(query.get("pageToken", ["0"])[0])
    md5 = base64.b64encode(hashlib.md5(CONTENT[names[index]]).digest()).decode()
    item = {"name": "checkpoints/x/" + names[index], "size": str(len(CONTENT[names[index]])), "md5Hash": md5}
    page: dict[str, object] = {"items": [item]}
    if index + 1 < len(names):
        page["nextPageToken"] = str(index + 1)
    return page


def _hub_tree() -> list[dict[str, object]]:
    large = CONTENT["params/a"]
    return [
        {"type": "directory", "path": "params"},
        {"type": "file", "path": ".gitattributes", "size": 3},
        {"type": "file", "path": "empty", "size": 0},
        {"type": "file", "path": "params/a", "size": len(large), "lfs": {"oid": hashlib.sha256(large).hexdigest()}},
    ]


def test_a_bucket_is_listed_over_pages_and_fetched_whole(store: Store, tmp_path: Path) -> None:
    files = list_bucket("b", "checkpoints/x/", endpoints=store.endpoints)
    assert [f.path for f in files] == list(CONTENT)
    seen: list[tuple[str, int, int]] = []
    fetch_files(files, tmp_path, progress=lambda *a: seen.append(a))
    assert {n: (tmp_path / n).read_bytes() for n in CONTENT} == CONTENT
    assert ("params/a", 10240, 10240) in seen


def test_a_cut_transfer_continues_where_it_stopped(store: Store, tmp_path: Path) -> None:
    store.cut_after = 1000
    fetch_files(list_bucket("b", "checkpoints/x/", endpoints=store.endpoints), tmp_path)
    assert (tmp_path / "params/a").read_bytes() == CONTENT["params/a"]
    assert "bytes=1000-" in store.ranges


def test_what_an_earlier_run_left_is_continued_and_what_is_whole_is_kept(store: Store, tmp_path: Path) -> None:
    files = list_hub("owner/name", endpoints=store.endpoints)
    assert [f.path for f in files] == ["empty", "params/a"]
    (tmp_path / "params").mkdir()
    (tmp_path / "params/a.partial").write_bytes(CONTENT["params/a"][:77])
    fetch_files(files, tmp_path)
    assert "bytes=77-" in store.ranges
    before = len(store.ranges)
    fetch_files(files, tmp_path)
    assert len(store.ranges) == before


def test_wrong_bytes_never_get_the_real_name(store: Store, tmp_path: Path) -> None:
    store.corrupt = True
    files = list_hub("owner/name", endpoints=store.endpoints)
    with pytest.raises(DownloadFailed, match="size or checksum is wrong"):
        fetch_files(files, tmp_path)
    assert not (tmp_path / "params/a").exists()
    assert not (tmp_path / "params/a.partial").exists()


def test_a_missing_file_is_not_tried_again(store: Store, tmp_path: Path) -> None:
    file = RemoteFile(f"{store.endpoints.hub}/gone", "gone", 5, "", "")
    with pytest.raises(DownloadFailed, match="404"):
        fetch_files([file], tmp_path)


def test_no_network_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT_S", 2.0)
    nowhere = Endpoints(bucket="http://127.0.0.1:9", hub="http://127.0.0.1:9")
    with pytest.raises(DownloadFailed, match="the network does not answer"):
        list_bucket("b", "x", endpoints=nowhere)
    with pytest.raises(DownloadFailed, match="the network does not answer"):
        list_hub("owner/name", endpoints=nowhere)


@pytest.mark.parametrize(
    "answer", [[], [1], "sign in", {"items": [{"size": "1"}]}, {"items": 3}, {"items": [{"name": "b", "size": "many"}]}]
)
def test_a_list_of_something_else_is_said_with_the_address_but_without_its_query(answer: object, monkeypatch) -> None:
    monkeypatch.setattr(fetch, "_get_json", lambda url: answer)
    with pytest.raises(
        DownloadFailed, match=r"no list of files .* Tried https://storage\.googleapis\.com/storage/v1/b/b/o\?…$"
    ):
        list_bucket("b", "x")


@pytest.mark.parametrize(
    "name", ["https://ada:hf_secret@huggingface.co/owner/name", "owner/..", "name", "owner/name?t=hf_secret"]
)
def test_a_name_on_the_hub_that_is_none_is_refused_without_what_is_secret(name: str) -> None:
    with pytest.raises(ConfigError, match="Write owner/name") as refused:
        policy_commands.fetch(hub=name)
    assert "hf_secret" not in str(refused.value)


def test_a_path_out_of_the_folder_is_refused(store: Store, tmp_path: Path) -> None:
    file = RemoteFile(f"{store.endpoints.hub}/empty", "../evil", 0, "", "")
    with pytest.raises(ConfigError, match="outside the folder"):
        fetch_files([file], tmp_path / "in")
    assert not (tmp_path / "evil").exists()


def test_a_full_disk_is_said_before_anything_is_fetched(store: Store, tmp_path: Path) -> None:
    file = RemoteFile(f"{store.endpoints.hub}/params/a", "a", 10**18, "", "")
    with pytest.raises(ConfigError, match="GB free"):
        fetch_files([file], tmp_path)
    assert store.ranges == []
