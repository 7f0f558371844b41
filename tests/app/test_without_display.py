"""Started without a display: the demonstration uses what was asked for, or says what it cannot."""

from pathlib import Path
from typing import Any

import pytest

from app.main import run
from frs_core.errors import ConfigError


@pytest.fixture(autouse=True)
def _no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)


def test_an_unknown_world_is_refused() -> None:
    with pytest.raises(ConfigError, match="Unknown world 'nowhere'"):
        run(world="nowhere")


@pytest.mark.parametrize("options", [{"world_options": {"setting": "2"}}, {"data": Path("somewhere")}])
def test_options_of_the_window_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="without a window there is no --"):
        run(**options)
