"""The benchmark of the policy's speed, with the settings that the published table uses.

    python benchmarks/bench_policy.py                # full size; a GPU with 8 GB, or 11 GB of memory and patience
    python benchmarks/bench_policy.py --quick        # two layers, few sizes: a reading in a minute on any CPU

Writes docs/benchmarks/policy.json (or policy_quick.json). Same as `frs bench policy`.
"""

import argparse
from pathlib import Path

from frs_core.commands.bench import policy

OUT = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"


def main() -> None:
    """Run with the published settings."""
    parser = argparse.ArgumentParser(description="Time pi0.5 on this machine")
    parser.add_argument("--quick", action="store_true", help="two layers, horizon 15, batches 1 and 8")
    if parser.parse_args().quick:
        policy(depth=2, horizons=(15,), batches=(1, 8), repeats=5, out=OUT / "policy_quick.json")
    else:
        policy(out=OUT / "policy.json")


if __name__ == "__main__":
    main()
