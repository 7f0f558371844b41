"""The plan of a blinded comparison: which policies, under which conditions, in which order. Written once, never changed.

The order is drawn in random blocks that contain each policy once, from a seed that is stored with it, so that time of day, wear and the
operator's practice are shared evenly. Policies are named by their folders and the digests of their weights.

Example: `draw_plan("mug_on_plate", [Arm("Base policy", BASE), learned_arm(folder)], blocks=10)` has 20 slots. Any thread.
"""

import json
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from frs_core.counts import counted
from frs_core.errors import ConfigError
from frs_core.evaluation.sequential import ALPHA
from frs_core.learning.metadata import read_metadata
from frs_core.runtime.files import write_whole
from frs_core.runtime.foreign import MALFORMED, read_json

FORMAT, VERSION = "frs-blind", 1
PLAN = "plan.json"
FIRST_SCENE = 800_000
"""First scene; operators record, and practice uses, lower ones."""
LETTERS = "ABCDEFGH"
BASE = "base"


@dataclass(frozen=True, slots=True)
class Arm:
    """One of the policies that are compared."""

    title: str
    """Shown once it is unblinded."""
    method: str
    """Learner, or `BASE`: the generalist alone."""
    path: str = ""
    """Folder of the noise policy; empty = the generalist alone."""
    digest: str = ""
    """SHA-256 of its weights; empty = the generalist alone, which the plan's fingerprint names."""


@dataclass(frozen=True, slots=True)
class BlindPlan:
    """What is compared, and under which conditions; never changed."""

    task: str
    """The world's name of it, or the instruction where the world names no tasks."""
    arms: tuple[Arm, ...]
    blocks: int
    """Attempts of each policy."""
    order: tuple[int, ...]
    """Which arm drives in each slot; every block has each arm once."""
    letters: str
    """Letter of each arm, in the order of the arms: drawn too, so that A is not always the first that was chosen."""
    seed: int
    """Order and letters are drawn from it."""
    world: str = ""
    policy: str = ""
    fingerprint: str = ""
    """Of the generalist."""
    first_scene: int = FIRST_SCENE
    max_chunks: int = 40
    alpha: float = ALPHA
    """Error level of all comparisons together."""
    made_at: float = 0.0
    """Unix time."""

    @property
    def slots(self) -> int:
        """Number of attempts in all."""
        return len(self.order)

    def scene(self, slot: int) -> int:
        """Return the scene of a slot: the same for all of a block."""
        return self.first_scene + slot // len(self.arms)


def draw_plan(
    task: str, arms: Sequence[Arm], *, blocks: int, seed: int | None = None, made_at: float | None = None
) -> BlindPlan:
    """Return a plan whose order is drawn in balanced random blocks.

    Args:
        task: the world's name of it, or the instruction.
        arms: two or more, all different.
        blocks: attempts of each.
        seed: of the draw, 32 bits; None = from the system's source of randomness.
        made_at: Unix time; None = now.
    Raises:
        ConfigError: fewer than two policies, too many, the same one twice, or no attempts.
    """
    if not 2 <= len(arms) <= len(LETTERS):
        raise ConfigError(f"A comparison got {counted(len(arms), 'policy', 'policies')}, needs 2 to {len(LETTERS)}.")
    if len({(arm.path, arm.digest) for arm in arms}) < len(arms):
        raise ConfigError("A comparison got the same policy twice. Choose different ones.")
    if blocks < 1:
        raise ConfigError(f"A comparison got {counted(blocks, 'attempt')} of each policy, needs 1 or more.")
    seed = random.SystemRandom().getrandbits(32) if seed is None else seed
    source = random.Random(seed)
    letters = "".join(LETTERS[i] for i in _shuffled(len(arms), source))
    order = tuple(i for _ in range(blocks) for i in _shuffled(len(arms), source))
    return BlindPlan(
        task, tuple(arms), blocks, order, letters, seed, made_at=time.time() if made_at is None else made_at
    )


def _shuffled(count: int, source: random.Random) -> list[int]:
    """Return 0..count-1 in random order; `random` is reproducible across versions of Python, `shuffle` need not be."""
    keys = [source.random() for _ in range(count)]
    return sorted(range(count), key=keys.__getitem__)


def learned_arm(folder: Path) -> Arm:
    """Return a saved noise policy as an arm. Raises WeightsMissing, ConfigError."""
    metadata = read_metadata(folder)
    return Arm(metadata.name or folder.name, metadata.kind, str(folder), metadata.weights_sha256)


def write_plan(folder: Path, plan: BlindPlan) -> None:
    document = {"format": FORMAT, "version": VERSION, **asdict(plan)}
    try:
        write_whole(folder / PLAN, (json.dumps(document, indent=1) + "\n").encode())
    except OSError as error:
        raise ConfigError(
            f"'{folder / PLAN}' could not be written: {error.strerror or error}. Free some space, or choose another recording folder."
        ) from error


def read_plan(folder: Path) -> BlindPlan:
    path = folder / PLAN
    if not path.is_file():
        raise ConfigError(f"No comparison at '{folder}'. `frs compare` lists those that there are.")
    try:
        raw = read_json(path)
        if raw.pop("format") != FORMAT or raw.pop("version") != VERSION:
            raise ValueError(f"not {FORMAT} version {VERSION}")
        arms = tuple(Arm(**{k: str(v) for k, v in arm.items()}) for arm in raw.pop("arms"))
        plan = BlindPlan(arms=arms, order=tuple(int(i) for i in raw.pop("order")), **raw)
        width = len(arms)
        blocks = [sorted(plan.order[i : i + width]) for i in range(0, plan.slots, width)]
        if width < 2 or len(plan.letters) != width or blocks != [list(range(width))] * plan.blocks:
            raise ValueError("its order has not every policy once in each block")
    except (OSError, *MALFORMED) as error:
        raise ConfigError(f"'{path}' is damaged: {error}. Restore it, or begin a new comparison.") from error
    return plan
