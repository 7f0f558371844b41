"""Letters where the system has no font."""

import pytest

from app import fonts
from app.qt import QtGui


def test_a_system_without_fonts_gets_one(qapp: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QtGui.QFontDatabase, "families", list)
    assert "DejaVu Sans" in fonts.provide()


def test_a_system_with_fonts_keeps_them(qapp: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QtGui.QFontDatabase, "families", lambda: ["Noto Sans"])
    assert fonts.provide() == ()
