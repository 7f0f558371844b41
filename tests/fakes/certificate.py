"""A certificate for loopback, as openssl makes one."""

import subprocess
from pathlib import Path

import pytest

from tests.waiting import LONG_S


def make_certificate(folder: Path, *, name: str = "", password: str = "") -> tuple[Path, Path]:
    """Return the PEM files of a self-signed certificate and its key; the test is skipped where openssl is not installed."""
    cert, key = folder / f"{name}cert.pem", folder / f"{name}key.pem"
    secret = ["-passout", f"pass:{password}"] if password else ["-nodes"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", *secret, "-days", "2", "-keyout", key, "-out", cert]
    try:
        subprocess.run([*made, *names], check=True, capture_output=True, timeout=LONG_S)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    return cert, key
