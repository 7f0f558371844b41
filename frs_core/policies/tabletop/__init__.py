"""The tabletop world's shipped generalist: a small vision-language flow policy."""

from pathlib import Path

from frs_core.policies.generalist.policy import Generalist
from frs_core.policies.generalist.policy import load as load_generalist
from frs_core.policies.tabletop.design import DESIGN
from frs_core.runtime.bounds import Workers


def load(path: str | Path | None = None, *, threads: Workers | None = None) -> Generalist:
    """Return the tabletop's generalist; see `frs_core.policies.generalist.policy.load`."""
    return load_generalist(DESIGN, path, threads=threads)


__all__ = ["DESIGN", "load"]
