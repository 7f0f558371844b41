"""Keeps PyOpenGL on the window system's side.

Problem: importing MuJoCo sets PYOPENGL_PLATFORM=egl (python/mujoco/egl), and PyOpenGL picks its platform once, at its first
import: from then on the 3D view has "no valid context". Policies and operators of the embedded world import MuJoCo, on other
threads. Idea: load PyOpenGL before any of them. Call first, on the main thread; costs 0.1 s.
"""

import importlib
import logging
import os
from typing import Any

_log = logging.getLogger("app")


def pin_platform() -> bool:
    """Load PyOpenGL for this display; return False when it is missing (the 3D view is painted then).

    A platform named in the environment is ignored: whoever simulates without a window exports `egl` there, and the window's
    own is what PyOpenGL finds by itself.
    """
    os.environ.pop("PYOPENGL_PLATFORM", None)
    try:
        # Asking for an error after every call doubles the calls; shaders are checked by themselves.
        package: Any = importlib.import_module("OpenGL")
        package.ERROR_CHECKING = False
        importlib.import_module("OpenGL.GL")
        # Without error checks PyOpenGL 3.1.10 forgets to define this name, and MuJoCo, which loads EGL, cannot be imported.
        egl: Any = importlib.import_module("OpenGL.raw.EGL._errors")
        egl._error_checker = getattr(egl, "_error_checker", None)
    except Exception as error:  # PyOpenGL raises many types where no GL library is installed.
        _log.warning("no OpenGL: %s", error)
        return False
    return True
