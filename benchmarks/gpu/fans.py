"""A whole fan as the policy computes it, step by step or recorded: the same inputs on every device."""

from collections.abc import Callable

import torch

from frs_core.policies.pi05.cuda_graph import LoopCache
from frs_core.policies.pi05.layout import Layout
from frs_core.policies.pi05.model import Pi05Model
from frs_core.policies.pi05.prefix import PrefixCache
from frs_core.steering.methods import Reference, SteeringPlan, gaussian, seeded_noise, steer

STEPS = 10
Results = tuple[torch.Tensor, ...]


def make_fan(
    model: Pi05Model, cache: PrefixCache, *, batch: int, horizon: int, is_recorded: bool
) -> Callable[[], Results]:
    """Return a function that computes noises, chunks and recovered noises of a fan, each [B, H, A].

    Args:
        model: the network.
        cache: an encoded observation.
        batch: B, candidates; their references are seeded.
        horizon: H, rows.
        is_recorded: as one recording. On a CPU, which records nothing, the loop in fixed memory that would be recorded.
    Raises:
        RuntimeError: at the first call, the recording failed.
    """
    width, device = model.size.width, model.device
    plan = SteeringPlan(steps=STEPS, seed=1)
    x = torch.zeros(batch, horizon, width)
    x[..., :7] = 0.4 * gaussian((batch, 1, 7), seed=5)
    commanded = torch.zeros(batch, width, dtype=torch.bool)
    commanded[:, :7] = True
    x, commanded = x.to(device), commanded.to(device)
    values = {"x": x, "commanded": commanded, "fresh": seeded_noise(plan, x)}

    def fan(layout: Layout, given: dict[str, torch.Tensor]) -> Results:
        steered = steer(
            lambda x, t: model.velocity(layout, x, t),
            Reference(given["x"], given["commanded"]),
            plan,
            fresh=given["fresh"],
        )
        return steered.noise, steered.chunk, steered.recovered

    if not is_recorded:
        layout = Layout(cache, batch=batch, horizon=horizon)
        return lambda: fan(layout, values)
    loops = LoopCache(device=device, hold=model.expert.tabulated)

    def recorded() -> Results:
        results = loops.run("fan", fan, cache=cache, values=values)
        if device.type == "cuda" and not loops.is_enabled:
            raise RuntimeError(f"CUDA graphs: {loops.reason}")
        return results

    return recorded
