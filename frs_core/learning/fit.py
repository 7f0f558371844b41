"""The training loop: all data resident, AdamW, averaged weights, early stop on held-out episodes, then one refit.

Two passes. The first learns from part of the episodes and finds how many steps are best for episodes it has not seen. The
second starts from the same weights and takes that many steps on all of them, because with ten episodes every one counts.
Answering False to a report ends either pass and keeps the best weights of the first.

Runs in the trainer's process (or inline in scripts); touches no live policy.
"""

import copy
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from frs_core.errors import TrainingError
from frs_core.learning.network import Inputs, SmallNet
from frs_core.learning.progress import OnProgress, Progress
from frs_core.learning.settings import FitSettings


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """Inputs and targets on the device."""

    inputs: Inputs
    target: Float[Tensor, "M n"]

    @property
    def count(self) -> int:
        """M."""
        return self.target.shape[0]

    def rows(self, index: Tensor) -> "Data":
        """Return some rows."""
        return Data(self.inputs.rows(index), self.target[index])


LossFunction = Callable[[SmallNet, Data], Tensor]
"""(network, batch) -> scalar. May draw from torch's global generator, which is seeded."""


@dataclass(frozen=True, slots=True, eq=False)
class FitReport:
    """How the weights came about."""

    steps: int
    """Steps of the kept weights."""
    steps_taken: int
    """All steps, both passes."""
    loss: float
    held_out: float
    """Best held-out loss of the first pass; NaN without held-out episodes."""
    seconds: float
    was_cancelled: bool
    was_refitted: bool
    judge: Mapping[str, Tensor]
    """Best weights of the first pass, which never saw the held-out episodes: the ones to quote held-out figures of."""


@dataclass(slots=True)
class _Best:
    step: int = 0
    loss: float = float("inf")
    held_out: float = float("nan")
    state: dict[str, Tensor] | None = None


def best_device() -> torch.device:
    """Return the GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def torch_threads(count: int) -> Generator[None, None, None]:
    """Use `count` torch threads inside, and the former number afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fit(
    network: SmallNet,
    loss: LossFunction,
    train: Data,
    held_out: Data | None,
    settings: FitSettings,
    *,
    everything: Data | None = None,
    on_progress: OnProgress,
) -> FitReport:
    """Train the network in place and return how it went; the network ends in eval mode with the kept weights.

    Args:
        network: fresh weights; its standardisation is measured here.
        loss: scalar loss of a batch.
        train: rows to learn from.
        held_out: rows to stop by; None = all steps are taken.
        settings: steps, rates, patience, seed.
        everything: all rows, for the refit; None = no refit.
        on_progress: called every `evaluate_every` steps; False stops.
    Raises:
        TrainingError: the loss became non-finite.
    """
    began = time.monotonic()
    start = copy.deepcopy(network.state_dict())
    is_refitting = settings.refit and held_out is not None and everything is not None
    with torch_threads(settings.threads), torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        clock = _Clock(began, passes=2 if is_refitting else 1, steps=settings.steps)
        best, taken, cancelled = _run(network, loss, train, held_out, settings, settings.steps, clock, on_progress)
        judge, refitted = best.state, False
        if is_refitting and not cancelled and everything is not None:
            network.load_state_dict(start)
            torch.manual_seed(settings.seed)
            clock.second_pass(best.step)
            final, more, cancelled = _run(network, loss, everything, None, settings, best.step, clock, on_progress)
            taken += more
            if not cancelled:
                refitted = True
                final.held_out = best.held_out
                best = final
    if best.state is None or judge is None:
        raise TrainingError("Training ended before a single step. Set fit.steps to 1 or more.")
    network.load_state_dict(best.state)
    network.eval()
    seconds = time.monotonic() - began
    return FitReport(best.step, taken, best.loss, best.held_out, seconds, cancelled, refitted, judge)


def _run(
    network: SmallNet,
    loss: LossFunction,
    train: Data,
    held_out: Data | None,
    settings: FitSettings,
    steps: int,
    clock: "_Clock",
    on_progress: OnProgress,
) -> tuple[_Best, int, bool]:
    """Take up to `steps` steps; return the best averaged weights, the steps taken, and whether it was asked to stop."""
    network.measure(train.inputs)
    average = copy.deepcopy(network).eval()
    weights = [p for p in network.parameters() if p.requires_grad]
    averaged = list(average.parameters())
    optimiser = torch.optim.AdamW(weights, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    batches = _batches(train.count, settings.batch_size, device=train.target.device)
    best, running, since, stale = _Best(), 0.0, 0, 0
    network.train()
    for step in range(1, steps + 1):
        value = loss(network, train.rows(next(batches)))
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        # The average starts as a plain mean, so that early weights do not linger.
        decay = min(settings.ema, step / (step + 10.0))
        with torch.no_grad():
            for kept, weight in zip(averaged, weights, strict=True):
                kept.lerp_(weight, 1.0 - decay)
        running, since = running + value.detach(), since + 1
        if step % settings.evaluate_every and step != steps:
            continue
        mean = float(running) / since
        if not mean == mean or mean == float("inf"):
            raise TrainingError(
                f"The training loss is not finite at step {step}. Lower fit.learning_rate "
                f"(it is {settings.learning_rate:g})."
            )
        running, since = 0.0, 0
        seen = float("nan") if held_out is None else evaluate(average, loss, held_out, seed=settings.seed)
        is_better = held_out is None or best.state is None or step <= settings.least_steps or seen < best.held_out
        stale = 0 if is_better else stale + 1
        if is_better:
            best = _Best(step, mean, seen, {k: v.clone() for k, v in average.state_dict().items()})
        if on_progress(clock.report(step, steps, mean, seen)) is False:
            return best, step, True
        if stale >= settings.patience:
            return best, step, False
    return best, steps, False


@torch.no_grad()
def evaluate(network: SmallNet, loss: LossFunction, data: Data, *, seed: int) -> float:
    """Return the loss on all rows at once, with the same random draws each time."""
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    network.eval()
    value = float(loss(network, data))
    torch.random.set_rng_state(state)
    return value


def _batches(count: int, size: int, *, device: torch.device) -> Iterator[Tensor]:
    """Yield index batches for ever, each epoch in a fresh order; a short tail joins the next epoch."""
    size = min(size, count)
    pool = torch.empty(0, dtype=torch.long)
    while True:
        while len(pool) < size:
            pool = torch.cat([pool, torch.randperm(count)])
        yield pool[:size].to(device)
        pool = pool[size:]


class _Clock:
    """Turns steps into time left, over both passes."""

    def __init__(self, began: float, *, passes: int, steps: int) -> None:
        self._began, self._passes, self._steps = began, passes, steps
        self._stage = "training"

    def second_pass(self, steps: int) -> None:
        """Start counting again."""
        self._began, self._passes, self._steps = time.monotonic(), 1, steps
        self._stage = "refitting"

    def report(self, step: int, steps: int, loss: float, held_out: float) -> Progress:
        """Return the progress at a step."""
        pace = (time.monotonic() - self._began) / step
        left = pace * (self._passes * self._steps - step)
        return Progress(step, steps, loss, held_out, left, self._stage)
