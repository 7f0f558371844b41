"""Make PyOpenGL use the platform of the window system.

Problem: importing MuJoCo sets PYOPENGL_PLATFORM=egl (python/mujoco/egl), and PyOpenGL chooses its platform at its first import:
after that the 3D view has "no valid context". Policies and operators of the embedded world import MuJoCo on other threads.
Idea: import PyOpenGL before any of them. Call this first, on the main thread; it takes 0.1 s.
"""

import importlib
import logging
import os
from typing import Any

_log = logging.getLogger("app")


def pin_platform() -> bool:
    """Import PyOpenGL for this display; return False if it is missing (the 3D view is then painted without GL).

    PYOPENGL_PLATFORM is removed from the environment: it may be set to `egl` for simulation without a window, and PyOpenGL
    finds the window's platform by itself.
    """
    os.environ.pop("PYOPENGL_PLATFORM", None)
    try:
        # Checking for an error after every call doubles the number of calls; shader errors are reported separately.
        package: Any = importlib.import_module("OpenGL")
        package.ERROR_CHECKING = False
        importlib.import_module("OpenGL.GL")
        # Without error checks PyOpenGL 3.1.10 does not define this name, and MuJoCo, which loads EGL, cannot be imported.
        egl: Any = importlib.import_module("OpenGL.raw.EGL._errors")
        egl._error_checker = getattr(egl, "_error_checker", None)
    except Exception as error:  # PyOpenGL raises many types where no GL library is installed.
        _log.warning("no OpenGL: %s", error)
        return False
    return True
