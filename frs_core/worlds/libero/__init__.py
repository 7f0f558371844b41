"""LIBERO: `LiberoWorld` here, `worker.py` under an interpreter that has LIBERO. Importing this package starts nothing."""

from frs_core.worlds.libero.world import LiberoWorld

__all__ = ["LiberoWorld"]
