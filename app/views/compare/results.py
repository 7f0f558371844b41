"""The results of a comparison, as far as they may be known; unblinding and exporting it. GUI thread."""

from app.boxes import Column, Row
from app.qt import Qt, QtGui, QtWidgets, Signal
from app.views.widgets import label, size_dialog

UNBLIND, SURE = "Unblind…", "Name the policies; this ends the comparison"


class ResultsDialog(QtWidgets.QDialog):
    """Shows the tables.

    Args:
        parent: the window.
    """

    unblind_asked = Signal()
    export_asked = Signal()

    def __init__(self, parent: QtWidgets.QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Results of the comparison")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.text = QtWidgets.QTextBrowser()
        self.text.setAccessibleName("Results of the comparison")
        self.said = label("", "caption", wrap=True)
        self.unblind = QtWidgets.QPushButton(UNBLIND)
        self.export = QtWidgets.QPushButton("Export")
        self.close_button = QtWidgets.QPushButton("Close")
        self.unblind.clicked.connect(self._on_unblind)
        self.export.clicked.connect(self.export_asked)
        self.close_button.clicked.connect(self.reject)
        column = Column(self)
        column.addWidget(self.text, 1)
        column.addWidget(self.said)
        row = Row()
        row.addWidget(self.unblind)
        row.addWidget(self.export)
        row.addStretch(1)
        row.addWidget(self.close_button)
        column.addLayout(row)
        for button in (self.unblind, self.export):
            button.setAutoDefault(False)
        self.close_button.setDefault(True)
        self.close_button.setFocus()
        size_dialog(self, 860, 560)

    def show_results(self, markdown: str, *, is_unblinded: bool, why_not: str = "") -> None:
        """Show results.

        Args:
            markdown: all that may be known.
            is_unblinded: nothing is hidden any more.
            why_not: why it cannot be unblinded now; empty where it can.
        """
        document = self.text.document()
        assert document is not None
        # A note such as "stopped at <table>" is text.
        document.setMarkdown(
            markdown,
            QtGui.QTextDocument.MarkdownFeature.MarkdownDialectGitHub
            | QtGui.QTextDocument.MarkdownFeature.MarkdownNoHTML,
        )
        self._style_tables()
        self.unblind.setText(UNBLIND)
        self.unblind.setEnabled(not is_unblinded and not why_not)
        self.unblind.setToolTip(why_not)
        self.export.setEnabled(is_unblinded)
        self.export.setToolTip(
            "" if is_unblinded else "Unblind it first; order, seed and policies are part of the export"
        )
        self.said.setText(why_not)

    def _style_tables(self) -> None:
        document = self.text.document()
        assert document is not None
        cursor, block = QtGui.QTextCursor(document), document.begin()
        while block.isValid():
            cursor.setPosition(block.position())
            if (table := cursor.currentTable()) is not None:
                style = table.format()
                style.setCellPadding(4)
                table.setFormat(style)
            block = block.next()

    def _on_unblind(self) -> None:
        """Ask once more on the button itself, then unblind."""
        if self.unblind.text() == UNBLIND:
            self.unblind.setText(SURE)
        else:
            self.unblind_asked.emit()
