"""Settings survive crashes, bad files and full disks; safe mode touches nothing."""

import json
from pathlib import Path

import pytest

from app.settings import Settings, SettingsFile


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    stored = SettingsFile(tmp_path)
    stored.values.theme, stored.values.input_map = "light", {"steer.left": ["key:J"]}
    assert stored.save() is None
    again = SettingsFile(tmp_path)
    assert (again.values.theme, again.values.input_map, again.warnings) == ("light", {"steer.left": ["key:J"]}, [])


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "\x00\x01", '"text"'])
def test_a_bad_file_is_set_aside_and_the_defaults_are_used(tmp_path: Path, text: str) -> None:
    (tmp_path / "settings.json").write_text(text)
    stored = SettingsFile(tmp_path)
    assert stored.values == Settings()
    assert len(stored.warnings) == 1
    assert (tmp_path / "settings.bad").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("theme", "pink"),
        ("pacing", 3),
        ("has_seen_first_run", "yes"),
        ("review_speed", -1),
        ("review_speed", True),
        ("input_map", {"steer.left": "key:J"}),
        ("input_map", []),
    ],
)
def test_a_bad_value_costs_only_itself(tmp_path: Path, key: str, value: object) -> None:
    (tmp_path / "settings.json").write_text(json.dumps({"last_task": "open_drawer", key: value}))
    stored = SettingsFile(tmp_path)
    assert getattr(stored.values, key) == getattr(Settings(), key)
    assert stored.values.last_task == "open_drawer"
    assert key in stored.warnings[0]


def test_unknown_keys_of_a_later_version_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(json.dumps({"version": 99, "hologram": True, "theme": "light"}))
    assert SettingsFile(tmp_path).values.theme == "light"


def test_a_setting_is_read_under_its_former_name_too(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text('{"practice": true}')
    file = SettingsFile(tmp_path)
    assert file.values.unrecorded
    assert not file.warnings


def test_reset_sets_the_files_aside(tmp_path: Path) -> None:
    stored = SettingsFile(tmp_path)
    stored.values.theme = "light"
    stored.save()
    stored.reset()
    assert stored.values == Settings()
    assert not (tmp_path / "settings.json").exists()
    assert (tmp_path / "settings.json.old").exists()


def test_safe_mode_neither_reads_nor_writes(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text('{"theme": "light"}')
    stored = SettingsFile(tmp_path, is_safe=True)
    assert stored.values.theme == "dark"
    stored.values.theme = "light"
    stored.values.last_task = "x"
    stored.save()
    assert json.loads((tmp_path / "settings.json").read_text()) == {"theme": "light"}


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    problem = SettingsFile(tmp_path / "file" / "below").save()
    assert problem is not None
    assert "not saved" in problem
