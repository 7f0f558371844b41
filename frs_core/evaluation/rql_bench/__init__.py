"""Reversal Q-Learning on OGBench's manipulation tasks: data, training, evaluation, and the authors' code on the same data."""

from frs_core.evaluation.rql_bench.bench import run
from frs_core.evaluation.rql_bench.spec import BenchSpec, preset

__all__ = ["BenchSpec", "preset", "run"]
