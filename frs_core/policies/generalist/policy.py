"""A small generalist as a FlowPolicy: small enough for two CPU cores, real enough to be wrong."""

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
from frs_core.policies.generalist.design import ACTION_SIZE, EXECUTE_ROWS, HORIZON, IMAGE_SIZE, STEPS, Design
from frs_core.policies.generalist.network import FEATURES, WHERE, GeneralistNet
from frs_core.policies.generalist.pictures import to_input, to_network
from frs_core.robot.observation import Observation
from frs_core.runtime.bounds import Workers
from frs_core.runtime.foreign import TENSORS, parse_tensors, read_bytes, read_json
from frs_core.steering.methods import SteeringPlan

WEIGHTS, PLAN = "model.safetensors", "plan.json"
"""In the design's folder of assets: the weights, and the calibrated plan with the fingerprint it was made for."""


def load(design: Design, path: str | Path | None = None, *, threads: Workers | None = None) -> "Generalist":
    """Return a generalist.

    Args:
        design: whose weights these are.
        path: a weights file; None = the shipped one.
        threads: torch threads of this process; None leaves them.
    Raises:
        WeightsMissing: no file there.
        ConfigError: the file is not this network's.
    """
    if threads:
        torch.set_num_threads(threads)
    file = Path(path) if path else paths.assets() / design.name / WEIGHTS
    if not file.is_file():
        raise WeightsMissing(
            f"No weights at {file}. Restore assets/{design.name}/{WEIGHTS} or make them with `frs generalist make --world {design.name}`."
        )
    try:
        data = read_bytes(file, limit=TENSORS, may_link=True)
        state = parse_tensors(data)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} is not a safetensors file ({error}). Restore it from the release.") from error
    net = GeneralistNet(design)
    expected = net.state_dict()
    missing, extra = sorted(set(expected) - set(state)), sorted(set(state) - set(expected))
    wrong = [k for k in expected if k in state and expected[k].shape != state[k].shape]
    if missing or extra or wrong:
        raise ConfigError(
            f"{file} does not fit the network of policy '{design.name}': missing {missing[:3]}, unexpected {extra[:3]}, wrong shape {wrong[:3]}. "
            f"Use weights of this release."
        )
    net.load_state_dict({k: v.to(expected[k].dtype) for k, v in state.items()})
    return Generalist(net, fingerprint=hashlib.sha256(data).hexdigest()[:16])


class Generalist(FlowPolicy):
    """Flow matching over 16-row chunks from two images, words and proprioception. Not thread-safe."""

    def __init__(self, net: GeneralistNet, *, fingerprint: str, plan: SteeringPlan | None = None) -> None:
        self.net = net.eval().requires_grad_(False)
        design = self._design = net.design
        for module in net.vision.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.default_plan = plan or _shipped_plan(design, fingerprint)
        self.spec = PolicySpec(
            name=design.name,
            horizon=HORIZON,
            width=ACTION_SIZE,
            action_space=design.action_space(),
            cameras=design.cameras,
            camera_pairing=tuple((camera, camera) for camera in design.cameras),
            image_size=IMAGE_SIZE,
            integration_steps=STEPS,
            execute_rows=EXECUTE_ROWS,
            feature_size=FEATURES + WHERE,
            fingerprint=fingerprint,
            shown={design.name: design.shown},
        )

    def encode(self, observation: Observation) -> Context:
        """Return the context of an observation; see FlowPolicy.encode."""
        design = self._design
        absent = [c for c in design.cameras if c not in observation.frames]
        if absent:
            raise ConfigError(
                f"Policy '{design.name}' needs cameras {list(design.cameras)}, the world gives {sorted(observation.frames)}. "
                f"Missing: {absent}."
            )
        with torch.inference_mode():
            images = {
                c: to_input(torch.from_numpy(to_network(design, observation.frames[c].for_policy))[None])
                for c in design.cameras
            }
            vision, _ = self.net.vision(images)
            words = torch.from_numpy(design.vocabulary.tokenise(observation.instruction))[None]
            proprio = torch.from_numpy(observation.proprio)[None]
            mounts = (
                None if design.has_fixed_cameras else torch.from_numpy(camera_mounts(design, observation)).float()[None]
            )
            seen = self.net.context.describe(vision, words, proprio, mounts)
        return self._context(torch.cat(seen, dim=1), observation.captured_ns)

    def context_from_features(self, features: Float[Array, " F"], *, captured_ns: int = 0) -> Context:
        """Return the context that `features` stand for: they hold all the head looks at.

        Raises:
            ShapeMismatch: wrong length.
        """
        if features.shape != (FEATURES + WHERE,):
            raise ShapeMismatch(
                f"Features have shape {features.shape}, policy '{self._design.name}' needs ({FEATURES + WHERE},). "
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


def camera_mounts(design: Design, observation: Observation) -> Float[Array, "C 3 4"]:
    """Return camera poses (OpenCV axes), of the one on the tool in the tool frame, of others in the base frame; metres.

    Raises:
        ConfigError: a camera without calibration.
    """
    mounts = []
    for camera in design.cameras:
        calibration = observation.frames[camera].calibration
        if calibration is None:
            raise ConfigError(
                f"Policy '{design.name}' computes places from calibrations, and camera '{camera}' has none. "
                f"Use a world that calibrates {list(design.cameras)}."
            )
        base = observation.T_base_tcp if camera == design.on_tool else np.eye(4)
        mounts.append((np.linalg.inv(base) @ calibration.T_base_camera)[:3])
    return np.stack(mounts)


def _key(t: float) -> int:
    return round(t * 1_000_000)


def _shipped_plan(design: Design, fingerprint: str) -> SteeringPlan:
    """Return the calibrated plan if it was made for these weights, else the paper's settings."""
    file = paths.assets() / design.name / PLAN
    if file.is_file():
        stored = read_json(file)
        if stored.get("fingerprint") == fingerprint:
            return SteeringPlan.from_json(stored["plan"])
    return SteeringPlan()
