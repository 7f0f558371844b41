"""The tests marked `gpu`, from the files that have any. On a CPU the other half of the same files: what runs on both."""

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from benchmarks.gpu.runner import ROOT
from benchmarks.gpu.task import CannotRun, Task


def run(task: Task) -> None:
    """Run them in a process of their own, which this one's group ends with."""
    if task.device == "cuda":
        task.torch_device()
    files = sorted(p for p in (ROOT / "tests").rglob("test_*.py") if "mark.gpu" in p.read_text())
    if not files:
        raise CannotRun(f"No test in '{ROOT / 'tests'}' is marked gpu.")
    report = task.file.with_name("tests.xml")
    report.unlink(missing_ok=True)
    marker = "gpu" if task.device == "cuda" else "not gpu and not slow"
    words = [sys.executable, "-m", "pytest", "-m", marker, "-p", "no:cacheprovider", "-v", "--durations=10"]
    # Without the checks of shapes, as the product runs; and another release of PyTorch may warn of what the pinned one does not.
    words += ["-o", "addopts=", "-W", "default", f"--junitxml={report}", *(str(p) for p in files)]
    code = subprocess.run(words, cwd=ROOT, check=False).returncode
    if not report.is_file():
        raise RuntimeError(f"pytest ended with exit status {code} before it could report; see the log.")
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    failed = [c.get("name", "") for c in cases if c.find("failure") is not None or c.find("error") is not None]
    skipped = [c.get("name", "") for c in cases if c.find("skipped") is not None]
    task.note("files", [str(Path(p).relative_to(ROOT)) for p in files])
    task.note("passed", [c.get("name", "") for c in cases if c.get("name", "") not in (*failed, *skipped)])
    task.note("failed", failed)
    task.note("skipped", skipped)
    task.say(
        f"{len(cases) - len(failed) - len(skipped)} of {len(cases)} passed"
        + (f", {len(skipped)} skipped" if skipped else "")
    )
    if failed or code:
        raise AssertionError(f"pytest ended with exit status {code}; failed: {', '.join(failed) or 'none'}")
