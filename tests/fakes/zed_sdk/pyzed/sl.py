"""Stands for the ZED SDK's Python module, as far as DROID's camera reader uses it. Python 3.7, numpy only.

Put the folder above on PYTHONPATH. Images come from the folder FRS_FAKE_ZED: one `<serial>.npy` (BGRA) per camera, which
somebody may rewrite while it is read, and `<serial>.json` with fx, fy, cx, cy. A file `<serial>.drop` makes grabs fail.
"""

import json
import os
import time

import numpy as np

FOLDER = os.environ.get("FRS_FAKE_ZED", "")


class _Names:
    def __init__(self, *names):
        for name in names:
            setattr(self, name, name)


ERROR_CODE = _Names("SUCCESS", "CAMERA_NOT_DETECTED")
RESOLUTION = _Names("HD720", "HD2K")
FLIP_MODE = _Names("OFF")
VIEW = _Names("LEFT", "RIGHT", "SIDE_BY_SIDE")
TIME_REFERENCE = _Names("IMAGE")
SVO_COMPRESSION_MODE = _Names("H265")


class Resolution:
    """Width and height; 0 means native."""

    def __init__(self, width=0, height=0):
        self.width, self.height = width, height


class Mat:
    """An image."""

    def __init__(self):
        self.data = np.zeros((1, 1, 4), np.uint8)

    def get_data(self):
        return self.data


class RuntimeParameters:
    """Nothing to set."""


class InitParameters:
    """What `open` gets."""

    def __init__(self, camera_fps=60, **others):
        self.camera_fps, self.camera_image_flip, self.serial = camera_fps, None, None

    def set_from_serial_number(self, serial):
        self.serial = serial


class _Info:
    def __init__(self, **fields):
        self.__dict__.update(fields)


class Camera:
    """One camera."""

    @staticmethod
    def get_device_list():
        serials = sorted(name[:-4] for name in os.listdir(FOLDER) if name.endswith(".npy")) if FOLDER else []
        return [_Info(serial_number=int(serial)) for serial in serials]

    def open(self, parameters):
        self._path = os.path.join(FOLDER, str(parameters.serial))
        self._period = 1.0 / parameters.camera_fps
        self._image, self._next, self._at = None, 0.0, 0.0
        return ERROR_CODE.SUCCESS if os.path.isfile(self._path + ".npy") else ERROR_CODE.CAMERA_NOT_DETECTED

    def get_camera_information(self):
        with open(self._path + ".json") as file:
            eye = json.load(file)
        left = _Info(fx=eye["fx"], fy=eye["fy"], cx=eye["cx"], cy=eye["cy"], disto=[0.0] * 5)
        parameters = _Info(left_cam=left, right_cam=left)
        return _Info(camera_configuration=_Info(calibration_parameters=parameters))

    def grab(self, runtime):
        now = time.time()
        if now < self._next:
            time.sleep(self._next - now)
        self._next = time.time() + self._period
        if os.path.exists(self._path + ".drop"):
            return ERROR_CODE.CAMERA_NOT_DETECTED
        try:
            self._image = np.load(self._path + ".npy")
        except (ValueError, OSError, EOFError):
            return ERROR_CODE.CAMERA_NOT_DETECTED
        self._at = time.time()
        return ERROR_CODE.SUCCESS

    def get_timestamp(self, reference):
        at = self._at
        return _Info(get_milliseconds=lambda: int(at * 1000))

    def retrieve_image(self, mat, view, resolution=None):
        mat.data = self._image
        return ERROR_CODE.SUCCESS

    def close(self):
        self._image = None
