"""The shipped generalist as a FlowPolicy: small enough for two CPU cores, real enough to be wrong."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from frs_core import paths
from frs_core.arrays import Array
from frs_core.errors import ConfigError, ShapeMismatch, WeightsMissing
from frs_core.policies.base import Context, FlowPolicy, PolicySpec
from frs_core.policies.tabletop import language
from frs_core.policies.tabletop.config import (
    ACTION_SIZE,
    CAMERAS,
    EXECUTE_ROWS,
    HORIZON,
    IMAGE_SIZE,
    STEPS,
    action_space,
)
from frs_core.policies.tabletop.network import FEATURES, WHERE, TabletopNet
from frs_core.policies.tabletop.pictures import shrink, to_input
from frs_core.robot.observation import Observation
from frs_core.runtime.foreign import TENSORS, parse_tensors, read_bytes, read_json
from frs_core.steering.methods import SteeringPlan

WEIGHTS = "tabletop/model.safetensors"
"""Under assets/."""
PLAN = "tabletop/plan.json"
"""The calibrated plan, with the fingerprint it was made for; under assets/."""


def load(path: str | Path | None = None, *, threads: int | None = None) -> "TabletopPolicy":
    """Return the generalist.

    Args:
        path: a weights file; None = the shipped one.
        threads: torch threads of this process; None leaves them.
    Raises:
        WeightsMissing: no file there.
        ConfigError: the file is not this network's.
    """
    if threads:
        torch.set_num_threads(threads)
    file = Path(path) if path else paths.assets() / WEIGHTS
    if not file.is_file():
        raise WeightsMissing(f"No weights at {file}. Restore assets/{WEIGHTS} or make them with `frs generalist make`.")
    try:
        data = read_bytes(file, limit=TENSORS, may_link=True)
        state = parse_tensors(data)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} is not a safetensors file ({error}). Restore it from the release.") from error
    net = TabletopNet()
    expected = net.state_dict()
    missing, extra = sorted(set(expected) - set(state)), sorted(set(state) - set(expected))
    wrong = [k for k in expected if k in state and expected[k].shape != state[k].shape]
    if missing or extra or wrong:
        raise ConfigError(
            f"{file} does not fit the tabletop network: missing {missing[:3]}, unexpected {extra[:3]}, wrong shape {wrong[:3]}. "
            f"Use weights of this release."
        )
    net.load_state_dict({k: v.to(expected[k].dtype) for k, v in state.items()})
    return TabletopPolicy(net, fingerprint=hashlib.sha256(data).hexdigest()[:16])


class TabletopPolicy(FlowPolicy):
    """Flow matching over 16-step chunks from two images, words and proprioception. Not thread-safe."""

    def __init__(self, net: TabletopNet, *, fingerprint: str, plan: SteeringPlan | None = None) -> None:
        self.net = net.eval().requires_grad_(False)
        for module in net.vision.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.default_plan = plan or _shipped_plan(fingerprint)
        self.spec = PolicySpec(
            name="tabletop",
            horizon=HORIZON,
            width=ACTION_SIZE,
            action_space=action_space(),
            cameras=CAMERAS,
            camera_pairing=tuple((camera, camera) for camera in CAMERAS),
            image_size=IMAGE_SIZE,
            integration_steps=STEPS,
            execute_rows=EXECUTE_ROWS,
            feature_size=FEATURES + WHERE,
            fingerprint=fingerprint,
        )

    def encode(self, observation: Observation) -> Context:
        """Return the context of an observation; see FlowPolicy.encode."""
        absent = [c for c in CAMERAS if c not in observation.frames]
        if absent:
            raise ConfigError(
                f"Policy 'tabletop' needs cameras {list(CAMERAS)}, the world gives {sorted(observation.frames)}. "
                f"Missing: {absent}."
            )
        with torch.inference_mode():
            images = {c: to_input(torch.from_numpy(shrink(observation.frames[c].for_policy))[None]) for c in CAMERAS}
            vision, _ = self.net.vision(images)
            words = torch.from_numpy(language.tokenise(observation.instruction))[None]
            proprio = torch.from_numpy(observation.proprio)[None]
            seen = self.net.context.describe(vision, words, proprio)
        return self._context(torch.cat(seen, dim=1), observation.captured_ns)

    def context_from_features(self, features: Float[Array, " F"], *, captured_ns: int = 0) -> Context:
        """Return the context that `features` stand for: they hold all the head looks at.

        Raises:
            ShapeMismatch: wrong length.
        """
        if features.shape != (FEATURES + WHERE,):
            raise ShapeMismatch(
                f"Features have shape {features.shape}, policy 'tabletop' needs ({FEATURES + WHERE},). "
                f"They were stored with another policy."
            )
        return self._context(torch.from_numpy(np.array(features, dtype=np.float32))[None], captured_ns)

    def _context(self, features: Tensor, captured_ns: int) -> Context:
        seen, stored = features[:, :FEATURES], features[0].numpy()
        times = torch.arange(STEPS + 1, dtype=torch.float32) / STEPS
        with torch.inference_mode():
            table = self.net.head.condition(seen.expand(STEPS + 1, -1), times)
        grid = {_key(k / STEPS): [m[k : k + 1] for m in table] for k in range(STEPS + 1)}
        return Context((seen, grid), stored, captured_ns)

    def velocity(self, context: Context, x: Float[Tensor, "B H A"], t: float) -> Float[Tensor, "B H A"]:
        """Return the velocity of every row; see FlowPolicy.velocity."""
        features, grid = context.payload
        modulation = grid.get(_key(t))
        if modulation is None:
            modulation = grid[_key(t)] = self.net.head.condition(features, torch.tensor([t]))
        return self.net.head(x, modulation)


def _key(t: float) -> int:
    return round(t * 1_000_000)


def _shipped_plan(fingerprint: str) -> SteeringPlan:
    """Return the calibrated plan if it was made for these weights, else the paper's settings."""
    file = paths.assets() / PLAN
    if file.is_file():
        stored = read_json(file)
        if stored.get("fingerprint") == fingerprint:
            return SteeringPlan.from_json(stored["plan"])
    return SteeringPlan()
