"""The settings of steering, as plain values: stored with every chunk, shown as controls, sent over networks.

`steering` does what they say. They live apart from it because a window, a recorder or a file reader needs the settings and
not the arithmetic, whose library takes a second to load.

Example: SteeringPlan(components=1, depth=8).to_json()["depth"] == 8. Pure data; any thread.
"""

import enum
import math
from dataclasses import dataclass, replace
from typing import Any, get_args

from frs_core.errors import ConfigError


class Solver(enum.Enum):
    """How a reference becomes noise."""

    EULER = "euler"
    """Explicit Euler backwards: the paper's method."""
    FIXED_POINT = "fixed_point"
    """Damped per-step fixed point: the (nearly) exact inverse of the sampler."""


class Fill(enum.Enum):
    """What replaces the temporal components of the noise that are not kept."""

    ZERO = "zero"
    NOISE = "noise"
    """Seeded N(0, 1) of strength `fill_scale`."""


class Method(enum.Enum):
    """Which way from reference to chunk; all but FRS are the paper's baselines."""

    FRS = "frs"
    DIRECT = "direct"
    """Execute the reference."""
    PARTIAL_NOISING = "partial_noising"
    """Mix the reference with noise at time `noising_time`, denoise from there (SDEdit)."""
    SAMPLE_AND_RANK = "sample_and_rank"
    """Draw `samples` chunks, take the one most cosine-similar to the reference."""
    FLOW_CONTROL = "flow_control"
    """Write the command into the initial noise of the first `control_rows` rows (arXiv 2606.10180)."""


@dataclass(frozen=True, slots=True)
class SteeringPlan:
    """Every setting of the way from command to chunk. Stored with each chunk; defaults are the paper's."""

    method: Method = Method.FRS
    steps: int = 10
    """K, Euler steps over the whole interval."""
    depth: int | None = None
    """n <= K reversal steps; None = K. At n < K the recovered state is at t = 1 - n/K and is not noise."""
    components: int | None = None
    """Temporal DCT components of the recovered noise that are kept; None = all."""
    fill: Fill = Fill.ZERO
    fill_scale: float = 1.0
    clamp: float | None = None
    """Largest RMS of the kept noise per commanded number (1 = a typical Gaussian draw); None = unlimited."""
    strength: float = 1.0
    """Factor on the reference's translation."""
    gripper_strength: float = 1.0
    """Factor on the gripper number of commands that speak of the gripper. A gripper order is all or nothing: more than 1 asks
    past the end of its range, so that what the round trip loses does not leave the fingers where they were."""
    solver: Solver = Solver.EULER
    iterations: int = 50
    damping: float = 0.5
    t_max: float = 1.0
    """Largest flow time the field is asked at."""
    leave_uncommanded: bool = True
    """Give dimensions the command does not speak for seeded N(0, 1) noise instead of the recovered one."""
    seed: int = 0
    noising_time: float = 0.5
    samples: int = 16
    control_rows: int | None = None
    """Rows that Flow Control writes; None = all."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ConfigError(f"SteeringPlan.steps is {self.steps}, needs >= 1. The paper uses 10.")
        if self.depth is not None and not 1 <= self.depth <= self.steps:
            raise ConfigError(
                f"SteeringPlan.depth is {self.depth}, needs 1..{self.steps} (steps). Use None for the full depth."
            )
        if self.components is not None and self.components < 1:
            raise ConfigError(
                f"SteeringPlan.components is {self.components}, needs >= 1. Use None to keep the whole noise."
            )
        if not 0.0 <= self.noising_time < 1.0:
            raise ConfigError(
                f"SteeringPlan.noising_time is {self.noising_time}, needs 0 <= t < 1. The paper uses 0.5."
            )
        if self.clamp is not None and self.clamp <= 0:
            raise ConfigError(f"SteeringPlan.clamp is {self.clamp}, needs > 0 or None.")

    def to_json(self) -> dict[str, object]:
        """Return plain values, enums by value."""
        return {
            name: value.value if isinstance(value, enum.Enum) else value
            for name, value in ((f, getattr(self, f)) for f in self.__dataclass_fields__)
        }

    @classmethod
    def from_json(cls, data: dict[str, object]) -> "SteeringPlan":
        """Return the plan of `to_json`.

        Raises:
            ConfigError: a key is unknown, or a value is not of its setting's type.
        """
        unknown = set(data) - set(cls.__dataclass_fields__)
        if unknown:
            raise ConfigError(
                f"Unknown steering settings {sorted(unknown)}. Known: {sorted(cls.__dataclass_fields__)}."
            )
        enums = {"method": Method, "fill": Fill, "solver": Solver}
        for name in data.keys() - enums.keys():
            _check_type(name, data[name], cls.__annotations__[name])
        values = {k: enums[k](v) if k in enums else v for k, v in data.items()}
        return cls(**values)  # pyright: ignore[reportArgumentType]

    @property
    def is_full_depth(self) -> bool:
        """Whether reversal goes back to t = 0, so that what it finds is a noise."""
        return self.depth in (None, self.steps) or self.solver is Solver.FIXED_POINT

    @property
    def starts_at_noise(self) -> bool:
        """Whether a steered candidate of this plan is denoised from t = 0."""
        if self.method is Method.FRS:
            return self.is_full_depth
        return self.method in (Method.SAMPLE_AND_RANK, Method.FLOW_CONTROL)

    def with_seed(self, seed: int) -> "SteeringPlan":
        """Return the same plan with another seed."""
        return replace(self, seed=seed)


def _check_type(name: str, value: object, kind: Any) -> None:
    """Raise ConfigError unless a value is of a setting's type: whole numbers are numbers too, switches are none."""
    kinds = get_args(kind) or (kind,)
    is_right = isinstance(value, kinds) or (float in kinds and isinstance(value, int))
    if isinstance(value, bool):
        is_right = bool in kinds
    if not is_right or (isinstance(value, float) and not math.isfinite(value)):
        words = {bool: "true or false", int: "a whole number", float: "a finite number", type(None): "null"}
        expected = " or ".join(words[k] for k in kinds)
        raise ConfigError(f"Steering setting '{name}' is {str(value)[:40]!r}, expected {expected}.")
