"""A task, a path or a note that reads as HTML is shown as it was written: Qt leaves out what it takes for tags."""

from typing import Any

from app.names import in_words
from app.qt import Qt, QtWidgets
from app.views.compare.results import ResultsDialog
from app.views.widgets import label, plain_tip

TASK = "put it on the <table>"


def test_every_label_shows_text_as_it_is(window: Any) -> None:
    labels = window.findChildren(QtWidgets.QLabel)
    assert len(labels) > 30
    # Those of Qt's own widgets show nothing foreign.
    own = [x for x in labels if not x.objectName().startswith("qt_")]
    assert [x.text() for x in own if x.textFormat() is not Qt.TextFormat.PlainText] == []


def test_a_label_shows_what_reads_as_a_tag(qtbot: Any) -> None:
    plain, tagged = label("put it on the"), label(TASK)
    qtbot.addWidget(plain)
    qtbot.addWidget(tagged)
    assert tagged.sizeHint().width() > plain.sizeHint().width()


def test_a_task_is_shown_on_one_line() -> None:
    assert in_words("put_the\ncan\u2028on it") == r"put the\ncan\u2028on it"


def test_a_tooltip_shows_what_reads_as_a_tag() -> None:
    assert plain_tip("data/run 3\nof yesterday") == "data/run 3\nof yesterday"
    assert "&lt;table&gt;" in plain_tip(TASK)


def test_results_of_a_comparison_show_what_reads_as_a_tag(qtbot: Any) -> None:
    parent = QtWidgets.QWidget()
    qtbot.addWidget(parent)
    dialog = ResultsDialog(parent)
    dialog.show_results(f"| note |\n|---|\n| {TASK} |\n", is_unblinded=True)
    assert TASK in dialog.text.toPlainText()
