"""One training of our code on a task, judged at intervals; a run that was killed resumes from its last evaluation.

All that is drawn between two evaluations follows from the seed and the evaluation's number, so a resumed run gives the numbers that an
uninterrupted one gives. Runs in the process of `frs bench rql`.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from safetensors.torch import save_file

from frs_core.arrays import Array
from frs_core.errors import TrainingError
from frs_core.evaluation.rql_bench.spec import BenchSpec
from frs_core.evaluation.rql_bench.tasks import Rows, Sampler, evaluate, hash_of
from frs_core.learning.fit import best_device
from frs_core.learning.packing import pack, unpack
from frs_core.learning.rql import Draws, Rql
from frs_core.runtime.foreign import TENSORS, read_json, read_tensors, read_text
from frs_core.steering.methods import gaussian

CURVE, WEIGHTS, STATE = "curve.jsonl", "weights.safetensors", "state.json"


@dataclass(frozen=True, slots=True)
class Point:
    """One evaluation."""

    step: int
    successes: int
    episodes: int
    critic_loss: float
    """Of the last update, as the two below."""
    cloning_loss: float
    value: float
    """Mean over heads and windows."""
    seconds: float
    """Processor time of the updates since the point before."""


OnPoint = Callable[[Point], None]


def read_curve(folder: Path) -> list[Point]:
    """Return the evaluations of a training so far; a line that was cut off by a crash is left out."""
    points: list[Point] = []
    path = folder / CURVE
    for line in read_text(path).splitlines() if path.is_file() else []:
        try:
            points.append(Point(**json.loads(line)))
        except (ValueError, TypeError):
            break
    return points


def train(spec: BenchSpec, rows: Rows, env: Any, *, seed: int, folder: Path, on_point: OnPoint) -> list[Point]:
    """Return the curve of one training.

    Args:
        spec: sizes and schedule.
        rows: play data.
        env: the single-task environment.
        seed: of weights, batches and scenes.
        folder: where curve and state are kept; what is there is gone on from.
        on_point: called after each evaluation.
    Raises:
        TrainingError: a loss is not finite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    device = best_device()
    torch.manual_seed(seed)
    agent, optimiser = new_agent(spec, rows, device)
    points = _resume(folder, agent, optimiser)
    sampler = Sampler(rows, spec.rows, device=device)
    while len(points) * spec.evaluate_every < spec.steps:
        step, block = len(points) * spec.evaluate_every, hash_of(seed, len(points))
        torch.manual_seed(block)
        count, began = min(spec.evaluate_every, spec.steps - step), time.process_time()
        losses = updates(spec, agent, optimiser, sampler, np.random.default_rng(block), count)
        seconds = time.process_time() - began
        if not bool(torch.isfinite(losses.critic)):
            raise TrainingError(f"The value loss is not finite after {step + count} updates. Lower learning_rate.")
        done = evaluate(env, acting(spec, agent), episodes=spec.eval_episodes, seed=hash_of(seed, 1 + len(points)))
        point = Point(
            step + count,
            done,
            spec.eval_episodes,
            losses.critic.item(),
            losses.cloning.item(),
            losses.values.mean().item(),
            round(seconds, 2),
        )
        points.append(point)
        _keep(folder, points, agent, optimiser)
        on_point(point)
    return points


def new_agent(spec: BenchSpec, rows: Rows, device: torch.device) -> tuple[Rql, torch.optim.Optimizer]:
    """Return an agent with fresh weights, and its optimiser."""
    size = rows.observations.shape[1], spec.rows * rows.actions.shape[1]
    agent = Rql(spec.config, observation_size=size[0], action_size=size[1]).to(device)
    return agent, agent.optimiser()


def updates(
    spec: BenchSpec,
    agent: Rql,
    optimiser: torch.optim.Optimizer,
    sampler: Sampler,
    rng: np.random.Generator,
    count: int,
) -> Any:
    """Take `count` updates, at least one; return the last one's losses."""
    losses = None
    for _ in range(count):
        windows = sampler.draw(rng, spec.batch)
        drawn = Draws.of(
            spec.batch,
            agent.action_size,
            flow_steps=spec.config.flow_steps,
            device=windows.observation.device,
        )
        losses = agent.update(optimiser, windows, drawn)
    return losses


def acting(spec: BenchSpec, agent: Rql) -> Callable[[Float[Array, " o"], int], Float[Array, "h a"]]:
    """Return the averaged actor: fresh noise, ten steps, clipped."""
    device = next(agent.parameters()).device

    def act(seen: Float[Array, " o"], seed: int) -> Float[Array, "h a"]:
        observation = torch.as_tensor(seen, dtype=torch.float32, device=device)[None]
        flat = agent.act(observation, gaussian((1, agent.action_size), seed=seed, device=device))
        return rearrange(flat[0].cpu().numpy(), "(h a) -> h a", h=spec.rows)

    return act


def _resume(folder: Path, agent: Rql, optimiser: torch.optim.Optimizer) -> list[Point]:
    """Return the evaluations that the saved state has seen, with the state taken up."""
    if not (folder / STATE).is_file():
        return []
    device = next(agent.parameters()).device
    kept = read_json(folder / STATE, limit=TENSORS)
    state = unpack(
        {k: v.to(device) for k, v in read_tensors(folder / f"{kept['step']}.{WEIGHTS}").items()}, kept["state"]
    )
    agent.load_state_dict(state["agent"])
    optimiser.load_state_dict(state["optimiser"])
    return [point for point in read_curve(folder) if point.step <= kept["step"]]


def _keep(folder: Path, points: list[Point], agent: Rql, optimiser: torch.optim.Optimizer) -> None:
    """Write curve and state; a crash in between leaves the state of the evaluation before."""
    step = points[-1].step
    tensors, state = pack({"agent": dict(agent.state_dict()), "optimiser": optimiser.state_dict()})
    save_file(tensors, folder / f"{step}.{WEIGHTS}")
    (folder / CURVE).write_text("".join(json.dumps(asdict(point)) + "\n" for point in points))
    partial = folder / f"{STATE}.partial"
    partial.write_text(json.dumps({"step": step, "state": state}) + "\n")
    partial.rename(folder / STATE)
    for old in folder.glob(f"*.{WEIGHTS}"):
        if old.name != f"{step}.{WEIGHTS}":
            old.unlink()
