"""The one place that names the Qt binding, so that another binding is one file away.

Every module of `app` writes `from app.qt import Qt, QtCore, QtGui, QtWidgets, Signal`.
"""

from PyQt6 import QtCore, QtGui, QtWidgets, sip
from PyQt6.QtCore import Qt
from PyQt6.QtCore import pyqtSignal as Signal
from PyQt6.QtCore import pyqtSlot as Slot

__all__ = ["Qt", "QtCore", "QtGui", "QtWidgets", "Signal", "Slot", "sip"]
