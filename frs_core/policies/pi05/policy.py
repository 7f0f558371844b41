"""pi0.5 as a flow policy: observation in, steered chunks out.

An observation is encoded once (present cameras and the real prompt only). Every candidate shares the prefix's keys and
values; the 2K velocities of a fan run as one recorded loop on a GPU and step by step on a CPU.

Checkpoints whose actions are offsets from the arm's joints at the start of a chunk (DROID joint position) are presented in
absolute joints: with c = start / scale the change of variables x' = x + t c, v' = v(x' - t c, t) + c is exact for every
Euler step, leaves the noise (t = 0) unchanged, and lets references and limits use absolute joints.

Example: `policy = load("weights/pi05_droid"); context = policy.encode(observation); policy.denoise(context, noise)`.
Runs on the inference worker's thread.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from frs_core.arrays import Array
from frs_core.errors import ConfigError, PolicyError
from frs_core.policies.base import Context, FlowPolicy, PolicySpec
from frs_core.policies.pi05.checkpoint_facts import Checkpoint
from frs_core.policies.pi05.cuda_graph import LoopCache
from frs_core.policies.pi05.images import to_tower
from frs_core.policies.pi05.layout import Layout
from frs_core.policies.pi05.model import Pi05Model
from frs_core.policies.pi05.normalisation import robot_range, robot_space
from frs_core.policies.pi05.prefix import PrefixCache
from frs_core.policies.pi05.presets import read_state
from frs_core.policies.pi05.sizes import STEPS
from frs_core.policies.pi05.tokens import PromptForm, Tokenizer
from frs_core.robot.actions import ActionKind, ActionSpace
from frs_core.robot.observation import Observation
from frs_core.steering import flow
from frs_core.steering.camera_pairing import NO_CAMERA, cameras_of, pairing_text
from frs_core.steering.methods import Method, Reference, Steered, SteeringPlan, seeded_noise, steer

_Loop = Callable[[flow.Velocity, dict[str, Tensor]], tuple[Tensor, ...]]
"""(field, fixed inputs) -> results."""

_RECORDED = (Method.FRS, Method.PARTIAL_NOISING, Method.FLOW_CONTROL)


@dataclass(slots=True, eq=False)
class Encoded:
    """Payload of a context."""

    cache: PrefixCache
    shift: Float[Tensor, " A"] | None
    """c: absolute action minus the network's own, normalised; None if actions are not offsets."""
    layouts: dict[int, Layout] = field(default_factory=dict)
    """Memory for plain velocities, by batch size."""


class Pi05Policy(FlowPolicy):
    """A pi0.5 checkpoint behind the product's contract."""

    def __init__(
        self,
        model: Pi05Model,
        checkpoint: Checkpoint,
        tokenizer: Tokenizer,
        *,
        name: str,
        use_graphs: bool = True,
        hold_padding: bool = False,
        plan: SteeringPlan | None = None,
    ) -> None:
        """Combine a network with the meaning of its numbers.

        Args:
            model: the network, weights read.
            checkpoint: complete, without problems.
            tokenizer: its vocabulary.
            name: shown to the operator.
            use_graphs: record loops on a GPU.
            hold_padding: keep the columns past the robot's at zero along the whole flow; for fine-tunes whose loss excluded
                them (LeRobot's).
            plan: steering settings; None = the uncalibrated default.
        """
        checkpoint.require()
        assert checkpoint.preset is not None
        assert checkpoint.actions is not None
        assert checkpoint.state is not None
        preset, self._model, self._tokenizer, self._checkpoint = checkpoint.preset, model, tokenizer, checkpoint
        self._preset, self._state = preset, checkpoint.state
        space = robot_space(preset.action_kind, checkpoint.actions, control_hz=preset.control_hz)
        low, high = robot_range(preset.action_kind, checkpoint.covered)
        self._hold_padding = hold_padding
        self.loops = LoopCache(device=model.device, is_enabled=use_graphs, hold=model.expert.tabulated)
        side = model.size.vision.image
        self.spec = PolicySpec(
            name=name,
            horizon=checkpoint.horizon,
            width=model.size.width,
            action_space=space,
            cameras=cameras_of(checkpoint.pairing),
            image_size=(side, side),
            integration_steps=STEPS,
            execute_rows=checkpoint.execute_rows,
            feature_size=2 * model.size.text.width,
            fingerprint=checkpoint.fingerprint(),
            camera_pairing=checkpoint.pairing,
            action_low=low,
            action_high=high,
            is_range_from_joints=preset.adds_joints,
        )
        self.default_plan = plan or uncalibrated_plan(space)

    def encode(self, observation: Observation) -> Context:
        """Return the observation's prefix; see `FlowPolicy.encode`."""
        missing = [c for c in self.spec.cameras if c not in observation.frames]
        if missing:
            raise ConfigError(
                f"Policy '{self.spec.name}' needs camera {missing}, the world has {sorted(observation.frames)}. "
                f"Its image inputs are paired as {pairing_text(self.spec.camera_pairing)}. Pass another pairing as cameras=; "
                f"`{NO_CAMERA}` leaves an input empty."
            )
        words = self._tokenizer.encode(self._checkpoint.prompt, observation.instruction, self._state_text(observation))
        device, side = self._model.device, self._model.size.vision.image
        with torch.inference_mode():
            pixels = torch.stack(
                [
                    to_tower(observation.frames[c].for_policy, side, rule=self._checkpoint.resize, device=device)
                    for c in self.spec.cameras
                ]
            )
            cache, features = self._model.encode(pixels, torch.tensor(words, device=device))
            if not bool(torch.isfinite(features).all()):
                raise PolicyError(
                    f"Policy '{self.spec.name}' gave non-finite features. Check the weights with `frs policy check`."
                )
            payload = Encoded(cache, self._shift(observation))
        return Context(payload, features.cpu().numpy(), observation.captured_ns)

    def velocity(self, context: Context, x: Float[Tensor, "B H A"], t: float) -> Float[Tensor, "B H A"]:
        """Return dx/dt; see `FlowPolicy.velocity`."""
        encoded: Encoded = context.payload
        batch = x.shape[0]
        with torch.inference_mode():
            if batch not in encoded.layouts:
                encoded.layouts[batch] = Layout(encoded.cache, batch=batch, horizon=self.spec.horizon)
            on_device = x.to(device=self._model.device, dtype=torch.float32)
            return self._field(encoded.layouts[batch], encoded.shift)(on_device, t).to(device=x.device)

    def denoise(
        self, context: Context, noise: Float[Tensor, "B H A"], *, steps: int | None = None
    ) -> Float[Tensor, "B H A"]:
        """Return chunks denoised from noises; see `FlowPolicy.denoise`."""
        self.check_shape(noise, "Noise")
        steps = steps or self.spec.integration_steps
        x = noise.to(device=self._model.device, dtype=torch.float32)
        if not self.loops.is_enabled:
            return super().denoise(context, x, steps=steps).to(noise.device)

        def loop(velocity: flow.Velocity, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
            return (flow.denoise(velocity, inputs["x"], steps=steps),)

        (chunk,) = self._run(context, ("denoise", steps), loop, {"x": x})
        return self._finite(chunk).to(noise.device)

    def steer(self, context: Context, reference: Reference, plan: SteeringPlan) -> Steered:
        """Return noises and chunks of references; see `FlowPolicy.steer`."""
        self.check_shape(reference.x, "Reference")
        home = reference.x.device
        x = reference.x.to(device=self._model.device, dtype=torch.float32)
        commanded = reference.commanded.to(self._model.device)
        if not self.loops.is_enabled or plan.method not in _RECORDED:
            steered = super().steer(context, Reference(x, commanded), plan)
        else:

            def loop(velocity: flow.Velocity, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
                result = steer(velocity, Reference(inputs["x"], inputs["commanded"]), plan, fresh=inputs["fresh"])
                return result.noise, result.chunk, result.recovered

            values = {"x": x, "commanded": commanded, "fresh": seeded_noise(plan, x)}
            steered = Steered(*self._run(context, replace(plan, seed=0, strength=1.0), loop, values))
            self._finite(steered.chunk)
        return Steered(steered.noise.to(home), steered.chunk.to(home), steered.recovered.to(home))

    def close(self) -> None:
        """Drop the recorded loops; the weights are freed with the object."""
        self.loops.clear()

    def _state_text(self, observation: Observation) -> Float[Array, " n"]:
        """Return the normalised state for the prompt; empty where the prompt has none."""
        if self._checkpoint.prompt is PromptForm.PLAIN:
            return np.empty(0)
        state = self._state.normalise(read_state(self._preset.state, observation))
        return np.pad(state, (0, self._checkpoint.prompt_zeros))

    def _run(self, context: Context, key: Hashable, loop: _Loop, values: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """Return the results of a loop over this context's velocity field, from a recording where possible."""
        encoded: Encoded = context.payload
        if encoded.shift is not None:
            values = {**values, "shift": encoded.shift}

        def function(layout: Layout, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
            return loop(self._field(layout, inputs.get("shift")), inputs)

        with torch.inference_mode():
            return self.loops.run(key, function, cache=encoded.cache, values=values)

    def _field(self, layout: Layout, shift: Tensor | None) -> flow.Velocity:
        """Return the velocity field behind one prefix, in absolute actions."""
        used = self.spec.action_space.size

        def field_at(x: Tensor, t: float) -> Tensor:
            own = x if shift is None else x - t * shift
            if self._hold_padding:
                own = torch.nn.functional.pad(own[..., :used], (0, x.shape[-1] - used))
            # A loop built for B candidates may evaluate a single one (the path of the seeded noise).
            own = own if len(own) == layout.batch else own.expand(layout.batch, -1, -1)
            v = self._model.velocity(layout, own, t)[: len(x)]
            if self._hold_padding:
                v = torch.nn.functional.pad(v[..., :used], (0, x.shape[-1] - used))
            return v if shift is None else v + shift

        return field_at

    def _shift(self, observation: Observation) -> Float[Tensor, " A"] | None:
        """Return absolute joints minus the network's own actions, normalised; None if the actions are not offsets."""
        if not self._preset.adds_joints:
            return None
        shift = np.zeros(self.spec.width, dtype=np.float32)
        shift[:7] = observation.q / self.spec.action_space.scale[:7]
        if self._checkpoint.is_gripper_offset:
            shift[7] = observation.gripper / self.spec.action_space.scale[7]
        return torch.from_numpy(shift).to(self._model.device)


def uncalibrated_plan(space: ActionSpace) -> SteeringPlan:
    """Return steering settings from the literature, for a checkpoint without a calibration (`frs policy calibrate`).

    Joint spaces keep the whole recovered noise: a direction there is a trajectory of the joints whose shape matters, and one
    noise repeated over the chunk is reported to break pi0.5. End-effector spaces keep the chunk mean, which noise-space
    steering of pi0 on LIBERO uses.
    """
    return SteeringPlan(steps=STEPS, components=1 if space.kind is ActionKind.EE_DELTA else None)
