"""The About box. GUI thread."""

import html

from app.facts import Facts
from app.qt import QtCore, QtWidgets
from frs_core.steering.policy_spec import PolicySpec
from frs_core.version import product_version

SAFETY = (
    "Hold is done in software. It keeps the arm where it is; it does not cut motor power. "
    "Keep the enabling device or the emergency stop in your hand."
)


def about_text(facts: Facts) -> str:
    """Return versions, licences and the safety text."""
    return (
        f"<h3>FRS cockpit {product_version()}</h3>"
        f"<p>World {html.escape(facts.world)}, policy {html.escape(facts.policy)}<br>Qt {QtCore.qVersion()}, PyQt {QtCore.PYQT_VERSION_STR}</p>"
        f"<p><b>{SAFETY}</b></p>"
        "<p>Source under Apache-2.0. A bundle that includes PyQt6 is under GPLv3. "
        "The robot's meshes have their own licence.</p>"
    )


def show_about(parent: QtWidgets.QWidget, facts: Facts, policy: PolicySpec | None) -> None:
    """Open the About box, with the image inputs of the policy once it is known."""
    box = QtWidgets.QMessageBox(parent)
    box.setWindowTitle("About")
    box.setText(about_text(facts))
    pairing = policy.camera_pairing if policy is not None else ()
    box.setInformativeText("".join(f"<p>{html.escape(f'{image} shows {camera}')}</p>" for image, camera in pairing))
    box.setAttribute(QtCore.Qt.WidgetAttribute.WA_DeleteOnClose)
    box.open()
