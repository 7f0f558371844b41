"""The cockpit among the desktop's programs."""

import configparser
import resource
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from frs_core.commands.desktop import desktop_install
from frs_core.errors import FrsError


@pytest.fixture
def small_files() -> Iterator[None]:
    """Files of more than 100 bytes are refused, as on a full disk."""
    limits, taken = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, taken)


def test_entry_and_icon_are_written_and_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert desktop_install() == 0
    assert "60-frs.rules" in capsys.readouterr().out
    entry = configparser.ConfigParser(interpolation=None)
    entry.read(tmp_path / "applications/frs-cockpit.desktop")
    fields = entry["Desktop Entry"]
    assert Path(shlex.split(fields["Exec"])[0]).is_file()
    assert Path(fields["Icon"]).read_text().startswith("<svg")
    assert desktop_install(remove=True) == 0
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_a_full_disk_leaves_no_cut_icon_and_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "new"))
    (tmp_path / "old/applications").mkdir(parents=True)
    (tmp_path / "old/applications/frs-cockpit.desktop").write_text("before")
    request.getfixturevalue("small_files")
    with pytest.raises(FrsError, match=r"new' could not be written: a file is larger than its disk.*allows") as refused:
        desktop_install()
    assert "Errno" not in str(refused.value)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "old"))
    with pytest.raises(FrsError):
        desktop_install()
    left = [p for p in tmp_path.rglob("*") if p.is_file() or "new" in p.parts]
    assert [p.read_text() for p in left] == ["before"]


def test_a_file_where_the_folder_should_be_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "share").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    with pytest.raises(FrsError, match=r"share' is a file, so nothing can be .* XDG_DATA_HOME says where"):
        desktop_install()
