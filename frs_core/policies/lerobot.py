"""LeRobot's flow policies (SmolVLA, pi0, pi0.5) behind the product's contract.

Problem: LeRobot offers only whole samples, steering needs the velocity at any chunk and time, and LeRobot's inner functions
change between releases. Idea: two names have stayed the same since the first port, `predict_action_chunk` and
`model.denoise_step`. To encode, the sampler is started and stopped at its first step; the arguments that it was about to pass
to `denoise_step` (prefix cache, masks, for pi0 the state) are the context. Units come from the checkpoint's own post-processor,
which must be one offset and one scale per number.

A self-test at load compares the product's Euler steps with LeRobot's sampler on the same noise, checks that rows are
independent, and rejects the policy otherwise. LeRobot runs time from 1 (noise) to 0 (action); it is reversed here.

Example: `load("folder/of/smolvla", preset="pi05_libero")`. Needs `pip install 'frs-cockpit[lerobot]'` and Python >= 3.12.
Runs on the inference worker's thread; its context must not be used from two threads.
"""

import hashlib
import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from frs_core.arrays import Array
from frs_core.errors import ConfigError, PolicyError, WeightsMissing
from frs_core.policies.base import Context, FlowPolicy, PolicySpec
from frs_core.policies.pi05.lerobot_files import LEROBOT_TYPES, check_names, check_offsets, lerobot_stats
from frs_core.policies.pi05.lerobot_pipelines import lerobot_stats_file, renamed_inputs
from frs_core.policies.pi05.normalisation import Affine, Stats, covered_range, robot_range, robot_space
from frs_core.policies.pi05.plausible import why_not_this_meaning
from frs_core.policies.pi05.policy import uncalibrated_plan
from frs_core.policies.pi05.presets import Preset, find_preset, need_preset, published_preset, read_state
from frs_core.policies.torch_device import torch_device
from frs_core.robot.observation import CameraFrame, Observation
from frs_core.runtime.foreign import DOCUMENT, NamedTwice, open_plain, plain_file, read_bytes, require_named_once
from frs_core.steering import flow
from frs_core.steering.camera_pairing import NO_CAMERA, CamerasOption, cameras_of, pair_cameras, pairing_text
from frs_core.steering.methods import gaussian

TYPES = LEROBOT_TYPES
"""LeRobot policy types whose sampler has the shape described above."""

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2}
"""Largest difference from LeRobot's sampler after all steps, normalised. Guess: 1e-6 and 1.5e-2 were measured on pi0.5."""

_NEEDED = ("x_t", "timestep", "past_key_values", "prefix_pad_masks")

Batch = dict[str, Any]


class _Stopped(Exception):
    """Ends the sampler at its first step."""


@dataclass(frozen=True, slots=True, eq=False)
class _Encoded:
    """What LeRobot's `denoise_step` needs besides chunk and time."""

    arguments: dict[str, Any]
    layers: tuple[tuple[Tensor, Tensor], ...]
    """Keys and values per layer, batch 1."""
    cache_type: Any
    """Class of LeRobot's cache; steps append to a cache in place, so each gets a fresh one."""

    def cache(self, batch: int) -> Any:
        """Return a cache that repeats the prefix for each row, without copying it."""
        rows = tuple((k.expand(batch, -1, -1, -1), v.expand(batch, -1, -1, -1), None) for k, v in self.layers)
        return self.cache_type(rows)

    def features(self) -> Float[Array, " F"]:
        """Return the mean and the last row of the last layer's values over the valid prefix, joined, float32."""
        values = self.layers[-1][1][0].transpose(0, 1).flatten(1)
        valid = self.arguments["prefix_pad_masks"][0].bool()
        values = values[valid].float()
        return torch.cat([values.mean(0), values[-1]]).cpu().numpy()


class LerobotPolicy(FlowPolicy):
    """A loaded LeRobot policy."""

    def __init__(
        self,
        policy: Any,
        *,
        before: Callable[[Batch], Batch],
        after: Callable[[Tensor], Tensor],
        preset: Preset,
        name: str,
        fingerprint: str,
        cameras: CamerasOption | None = None,
        renamed: Mapping[str, str] | None = None,
        statistics: tuple[Stats, Stats] | None = None,
    ) -> None:
        """Wrap and test a policy.

        Args:
            policy: LeRobot's policy object, weights loaded.
            before: its pre-processor: raw batch -> what `predict_action_chunk` takes.
            after: its post-processor: normalised actions [1, A] -> raw actions.
            preset: what the numbers mean on a robot.
            name: shown to the operator.
            fingerprint: hash of weights and configuration.
            cameras: which camera fills which image feature, if the names do not determine it (`camera_pairing.pair_cameras`).
            renamed: image feature -> the name its images had before the pre-processor.
            statistics: of state and actions; None = not known.
        Raises:
            ConfigError: sizes, statistics or cameras do not fit the preset.
            PolicyError: the self-test failed.
        """
        config = policy.config
        self._policy, self._before, self._preset = policy.eval(), before, preset
        self._parameter = next(policy.parameters())
        self._pictures = [k for k in config.image_features if "empty_camera" not in k]
        self._pairing = pair_cameras(
            self._pictures,
            cameras=cameras,
            usual=preset.cameras,
            names=preset.picture_names,
            masked=preset.masked,
            renamed=renamed,
        )
        used = config.output_features["action"].shape[0]
        if used != preset.action_kind.size:
            raise ConfigError(
                f"'{name}' has {used} action numbers, preset '{preset.name}' means {preset.action_kind.size}. Choose another."
            )
        check_names(preset, getattr(config, "action_feature_names", None))
        check_offsets(preset, is_relative=bool(getattr(config, "use_relative_actions", False)))
        if preset.adds_joints:
            raise ConfigError(
                "Actions that are offsets from the arm's joints are supported for pi0.5 only; load it with the policy 'pi05'."
            )
        state_stats, action_stats = statistics or ({}, {})
        veto = why_not_this_meaning(preset, state=state_stats, actions=action_stats)
        if veto is not None:
            raise ConfigError(f"'{name}' cannot be used: {veto}")
        low, high = robot_range(preset.action_kind, covered_range(action_stats, size=used))
        state = config.input_features.get("observation.state")
        if state is not None and state.shape[0] != preset.state.size:
            raise ConfigError(
                f"'{name}' reads {state.shape[0]} state numbers, preset '{preset.name}' gives {preset.state.size}."
            )
        space = robot_space(preset.action_kind, _probe(after, used), control_hz=preset.control_hz)
        self.spec = PolicySpec(
            name=name,
            horizon=config.chunk_size,
            width=config.max_action_dim,
            action_space=space,
            cameras=cameras_of(self._pairing),
            image_size=tuple(config.image_features[self._pictures[0]].shape[-2:]),
            integration_steps=getattr(config, "num_inference_steps", None) or config.num_steps,
            execute_rows=config.n_action_steps,
            feature_size=0,
            fingerprint=fingerprint,
            camera_pairing=self._pairing,
            action_low=low,
            action_high=high,
        )
        self.default_plan = uncalibrated_plan(space)
        self._self_test()

    def encode(self, observation: Observation) -> Context:
        """Return the observation's prefix; see `FlowPolicy.encode`."""
        encoded = self._stop_at_first_step(self._batch(observation))
        return Context(encoded, encoded.features(), observation.captured_ns)

    def velocity(self, context: Context, x: Float[Tensor, "B H A"], t: float) -> Float[Tensor, "B H A"]:
        """Return dx/dt; see `FlowPolicy.velocity`."""
        encoded: _Encoded = context.payload
        batch = x.shape[0]
        device = self._parameter.device
        with torch.inference_mode():
            arguments = {k: _repeated(v, batch) for k, v in encoded.arguments.items()}
            theirs = self._policy.model.denoise_step(
                **arguments,
                past_key_values=encoded.cache(batch),
                x_t=x.to(device=device, dtype=torch.float32),
                timestep=torch.full((batch,), 1.0 - t, dtype=torch.float32, device=device),
            )
        return -theirs.float().to(x.device)

    def _batch(self, observation: Observation) -> Batch:
        """Return an observation as a pre-processed LeRobot batch.

        Raises:
            ConfigError: a camera the policy needs is missing.
        """
        missing = [c for c in self.spec.cameras if c not in observation.frames]
        if missing:
            raise ConfigError(
                f"Policy '{self.spec.name}' needs camera {missing}, the world has {sorted(observation.frames)}. "
                f"Its image inputs are paired as {pairing_text(self._pairing)}. Pass another pairing as cameras=; "
                f"`{NO_CAMERA}` leaves an input empty."
            )
        raw: Batch = {"task": observation.instruction}
        for key, camera in self._pairing:
            if camera == NO_CAMERA:
                continue
            pixels = torch.from_numpy(np.ascontiguousarray(observation.frames[camera].for_policy))
            raw[key] = pixels.permute(2, 0, 1).float() / 255.0
        if "observation.state" in self._policy.config.input_features:
            raw["observation.state"] = torch.from_numpy(read_state(self._preset.state, observation)).float()
        return self._before(raw)

    def _stop_at_first_step(self, batch: Batch) -> _Encoded:
        """Return the arguments that the sampler passes to its first `denoise_step`.

        Raises:
            PolicyError: arguments that steering needs are not among them.
        """
        model, seen = self._policy.model, {}
        signature = inspect.signature(model.denoise_step)

        def stop(*args: Any, **kwargs: Any) -> None:
            seen.update(signature.bind(*args, **kwargs).arguments)
            raise _Stopped

        model.denoise_step = stop
        try:
            with torch.inference_mode():
                self._policy.predict_action_chunk(dict(batch))
        except _Stopped:
            pass  # Expected: this is how the sampler is stopped.
        finally:
            del model.denoise_step
        if not set(_NEEDED) <= set(seen):
            raise PolicyError(
                f"LeRobot's sampler passed {sorted(seen)} to denoise_step; expected {', '.join(_NEEDED)}. "
                f"This LeRobot release is not supported; use 0.6.x."
            )
        cache = seen.pop("past_key_values")
        arguments = {k: v for k, v in seen.items() if k not in ("x_t", "timestep")}
        return _Encoded(arguments, tuple((k, v) for k, v, *_ in cache), type(cache))

    def _self_test(self) -> None:
        """Compare with LeRobot's own sampler on a synthetic observation.

        Raises:
            PolicyError: they disagree, rows influence each other, or numbers are not finite.
        """
        observation = _made_up(self.spec)
        noise = gaussian((2, self.spec.horizon, self.spec.width), seed=0)
        context = self.encode(observation)
        self.spec = replace(self.spec, feature_size=len(context.features))
        own = self._finite(self.denoise(context, noise))
        with torch.inference_mode():
            device = self._parameter.device
            theirs = self._policy.predict_action_chunk(self._batch(observation), noise=noise[:1].to(device))
        used = self.spec.action_space.size
        tolerance = TOLERANCE.get(self._parameter.dtype, TOLERANCE[torch.bfloat16])
        checks = {
            "LeRobot's own sampler": theirs.float().cpu() - own[:1, :, :used],
            "the same row alone": flow.denoise(
                lambda x, t: self.velocity(context, x, t), noise[1:], steps=self.spec.integration_steps
            )
            - own[1:],
        }
        for what, difference in checks.items():
            if not float(difference.abs().max()) <= tolerance:
                raise PolicyError(
                    f"Self-test of '{self.spec.name}': chunks differ by {float(difference.abs().max()):.2g} from {what} "
                    f"(allowed {tolerance:g}). This LeRobot release or checkpoint is not supported."
                )


def load(
    path: str | Path,
    *,
    preset: str | None = None,
    cameras: CamerasOption | None = None,
    device: str | None = None,
    name: str | None = None,
) -> LerobotPolicy:
    """Return a LeRobot policy from a local folder, tested against LeRobot's own sampler.

    Args:
        path: folder with config.json, model.safetensors and the processors' files.
        preset: meaning of state and actions (`pi05.presets.PRESETS`); None = that of the published checkpoint whose exact name
            the folder has.
        cameras: which camera fills which image input, "base=left,wrist=wrist"; None = by their names.
        device: "cuda" or "cpu"; None = a GPU if there is one.
        name: shown to the operator; None = the folder's name.
    Raises:
        ConfigError: LeRobot is not installed, or the checkpoint does not fit.
        WeightsMissing: the folder or its weights are missing.
        PolicyError: the self-test failed.
    """
    root = Path(path)
    weights = root / "model.safetensors"
    if not weights.is_file():
        # LeRobot would continue with random weights.
        if (root / "adapter_config.json").is_file():
            raise WeightsMissing(
                f"'{root}' holds a PEFT adapter, which changes another checkpoint. Merge it with PEFT's merge_and_unload(), save the result "
                f"with the adapter's configuration and pre-processor, and give that folder."
            )
        raise WeightsMissing(f"No '{weights}'. Download the whole repository of the checkpoint.")
    try:
        from lerobot.configs import PreTrainedConfig  # pyright: ignore[reportMissingImports]  optional
        from lerobot.policies.factory import (  # pyright: ignore[reportMissingImports]
            get_policy_class,
            make_pre_post_processors,
        )
    except ImportError as error:
        raise ConfigError(
            f"The policy 'lerobot' needs LeRobot ({error}). With Python >= 3.12: pip install 'frs-cockpit[lerobot]'. "
            f"pi0.5 needs no LeRobot: use the policy 'pi05'."
        ) from error
    meaning = find_preset(preset) if preset else published_preset(root.resolve().name)
    if meaning is None:
        raise need_preset(root.resolve().name)
    config = PreTrainedConfig.from_pretrained(str(root))
    if config.type not in TYPES:
        raise ConfigError(f"LeRobot policy '{config.type}' is not supported, only {', '.join(TYPES)}.")
    config.device = str(torch_device(device))
    if getattr(config, "compile_model", False):
        config.compile_model = False
    stats = lerobot_stats(lerobot_stats_file(root))
    policy = get_policy_class(config.type)(config)
    load_strictly(policy, weights)
    before, after = make_pre_post_processors(config, pretrained_path=str(root))
    return LerobotPolicy(
        policy.to(config.device),
        before=before,
        after=after,
        preset=meaning,
        name=name or root.resolve().name,
        fingerprint=_fingerprint(root),
        cameras=cameras,
        renamed=renamed_inputs(root),
        statistics=(stats.get("observation.state", {}), stats.get("action", {})),
    )


def load_strictly(policy: Any, weights: Path) -> None:
    """Load every tensor of a file into a policy.

    Raises:
        ConfigError: a tensor is missing, unexpected or has another shape.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        stored = load_file(require_named_once(plain_file(weights, as_text=True)))
    except (OSError, NamedTwice, SafetensorError) as error:
        raise ConfigError(f"The weights '{weights}' cannot be read: {error}. Download the checkpoint again.") from error
    if not any(name.startswith("model.") for name in stored):
        stored = {f"model.{name}": tensor for name, tensor in stored.items()}
    tied = "model.paligemma_with_expert.paligemma."
    embedding, head = f"{tied}model.language_model.embed_tokens.weight", f"{tied}lm_head.weight"
    if embedding not in stored and head in stored:
        stored[embedding] = stored[head]
    try:
        missing, foreign = policy.load_state_dict(stored, strict=False)
    except RuntimeError as error:
        raise ConfigError(f"The weights '{weights}' do not fit the configuration: {error}") from error
    missing = [name for name in missing if "lm_head" not in name]
    if missing or foreign:
        raise ConfigError(
            f"The weights '{weights}' lack {len(missing)} tensors {missing[:3]} and have {len(foreign)} foreign ones "
            f"{list(foreign)[:3]}. Download the checkpoint again, or use the LeRobot release it was made with."
        )


def _probe(after: Callable[[Tensor], Tensor], size: int) -> Affine:
    """Return the post-processor as offset and scale.

    Raises:
        ConfigError: it is not affine per number.
    """
    zero, one, two = (
        np.asarray(after(torch.full((1, size), v)), dtype=np.float64).reshape(-1) for v in (0.0, 1.0, -2.0)
    )
    affine = Affine(zero, one - zero)
    if not np.allclose(two, zero - 2.0 * affine.scale, atol=1e-3, rtol=1e-3) or (affine.scale <= 0).any():
        raise ConfigError(
            "The checkpoint's post-processor is not one offset and scale per number; it cannot be steered."
        )
    return affine


def _repeated(value: Any, batch: int) -> Any:
    return value.expand(batch, *value.shape[1:]) if isinstance(value, Tensor) and value.shape[:1] == (1,) else value


def _made_up(spec: PolicySpec) -> Observation:
    rng = np.random.default_rng(0)
    height, width = spec.image_size
    frames: Mapping[str, CameraFrame] = {
        c: CameraFrame(rng.integers(0, 256, (height, width, 3), dtype=np.uint8), time.monotonic_ns())
        for c in spec.cameras
    }
    return Observation(
        frames=frames,
        q=np.array([0.0, -0.6, 0.0, -2.2, 0.0, 1.6, 0.8]),
        dq=np.zeros(7),
        gripper=0.0,
        T_base_tcp=np.eye(4),
        instruction="pick up the cup",
        captured_ns=time.monotonic_ns(),
        extra={"libero_state": np.zeros(8)},
    )


def _fingerprint(root: Path) -> str:
    digest = hashlib.sha256(read_bytes(root / "config.json", limit=DOCUMENT, may_link=True))
    with open_plain(root / "model.safetensors", may_link=True) as file:
        length = file.seek(0, 2)
        for start in np.linspace(0, max(0, length - 65536), 64, dtype=np.int64):
            file.seek(int(start))
            digest.update(file.read(65536))
    return digest.hexdigest()
