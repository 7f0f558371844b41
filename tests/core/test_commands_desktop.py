"""The cockpit among the desktop's programs."""

import configparser
import shlex
from pathlib import Path

import pytest

from frs_core.commands.desktop import desktop_install


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
