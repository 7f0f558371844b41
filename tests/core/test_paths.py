"""Where recordings go: chosen, the checkout's, what lies in the working folder already, else the user's own data folder."""

from pathlib import Path

import platformdirs
import pytest

from frs_core import paths


def test_an_installed_product_records_into_the_users_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FRS_DATA_DIR", raising=False)
    monkeypatch.setattr(paths, "_PACKAGE", tmp_path / "site-packages" / "frs_core")
    # Another package's.
    for folder in ("data", "assets", "frs_core/_assets"):
        (tmp_path / "site-packages" / folder).mkdir(parents=True)
    assert paths.assets() == tmp_path / "site-packages" / "frs_core" / "_assets"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(platformdirs, "user_data_dir", lambda name, **more: str(tmp_path / "home" / name))
    assert paths.data() == tmp_path / "home" / "frs-cockpit"
    (tmp_path / "frs-data").mkdir()
    assert paths.data() == tmp_path / "frs-data"
    monkeypatch.setenv("FRS_DATA_DIR", str(tmp_path / "chosen"))
    assert paths.data() == tmp_path / "chosen"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FRS_DATA_DIR", "~/frs")  # As written where no shell reads it: a service, a desktop entry.
    assert paths.data() == tmp_path / "home" / "frs"
