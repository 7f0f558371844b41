"""The About box says which image input of the policy shows which camera."""

import dataclasses
from typing import Any

from app.qt import QtWidgets


def test_the_about_box_tells_which_camera_fills_which_picture_input(window: Any, port: Any) -> None:
    pairing = (("base_0_rgb", "left"), ("right_wrist_0_rgb", "none"))
    port.policy_spec = dataclasses.replace(port.policy_spec, camera_pairing=pairing)
    window.run("help.about")
    box = window.findChild(QtWidgets.QMessageBox)
    assert "<p>base_0_rgb shows left</p><p>right_wrist_0_rgb shows none</p>" in box.informativeText()
    box.close()
