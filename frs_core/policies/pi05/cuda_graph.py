"""Record a whole loop of velocity calls once on the GPU, as a CUDA graph, and replay it as one unit.

Problem: twenty steps of eighteen layers are some five thousand kernels of a few microseconds; launching them one by one
takes several times as long as their work. Idea: capture the loop in a CUDA graph. A graph uses fixed addresses, so everything that
changes between key presses (references, seeded noise, the prefix) is copied into fixed tensors first, and everything that
cannot change (batch, plan, size of the prefix's bucket) is part of the key under which a recording is kept.

Example: key (bucket 640, 13 candidates, plan without its seed) -> one recording, replayed for every fan of that size.

`Loop.run` is the same code with and without a GPU; only `Loop.replay` needs one. A recording that fails, or whose first
replay disagrees with the plain run, is discarded with a warning, and loops run unrecorded from then on.
Runs on the inference worker.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor

from frs_core.policies.pi05.layout import Layout
from frs_core.policies.pi05.prefix import PrefixCache

BUCKET = 64
"""Prefix lengths are rounded up to a multiple of this, tokens. Guess: 4 to 5 recordings cover all prompts of two cameras."""

KEPT = 24
"""Recordings kept, least recently used dropped first; 30 MB each at full size. Guess."""

AGREEMENT = 0.05
"""Largest difference between first replay and plain run, relative to 1 + the largest value. Variants of bfloat16 arithmetic differ by 1.5e-2
after one velocity at |v| 0.6 (CPU, full size), so this catches wrong recordings only."""

_log = logging.getLogger(__name__)


def bucket_of(length: int) -> int:
    """Return the number of prefix slots in a recording for this length, tokens."""
    return -(-length // BUCKET) * BUCKET


LoopFunction = Callable[[Layout, dict[str, Tensor]], tuple[Tensor, ...]]
"""(layout, fixed inputs) -> results; may neither move data between devices nor draw random numbers."""


class Loop:
    """One function of fixed tensors, and its recording."""

    def __init__(self, layout: Layout, inputs: dict[str, Tensor], function: LoopFunction) -> None:
        """Keep the fixed tensors; `fill` replaces their contents before each run."""
        self._layout, self._inputs, self._function = layout, inputs, function
        self._graph: torch.cuda.CUDAGraph | None = None
        self._outputs: tuple[Tensor, ...] = ()
        self._held: object = None

    def fill(self, cache: PrefixCache, values: dict[str, Tensor]) -> None:
        """Copy a prefix and inputs into the fixed tensors."""
        self._layout.load(cache)
        for name, value in values.items():
            self._inputs[name].copy_(value)

    def run(self) -> tuple[Tensor, ...]:
        """Return the results, computed without a recording."""
        return self._function(self._layout, self._inputs)

    def replay(self, *, pool: Any, hold: Callable[[], object]) -> tuple[Tensor, ...]:
        """Return the results of the recording as fresh tensors, recording first where needed.

        Args:
            pool: GPU memory that all recordings share; one replays at a time and its results are copied out.
            hold: returns what the recording reads besides the fixed tensors, to be kept alive with it.
        Raises:
            RuntimeError: recording failed or disagrees with the plain run.
        """
        is_first = self._graph is None
        plain = self._record(pool, hold) if is_first else ()
        assert self._graph is not None
        self._graph.replay()
        results = tuple(o.clone() for o in self._outputs)
        if is_first:
            for i, (a, b) in enumerate(zip(results, plain, strict=True)):
                difference = float((a - b).nan_to_num().abs().max() / (1.0 + b.nan_to_num().abs().max()))
                if difference > AGREEMENT:
                    raise RuntimeError(f"output {i} of the recording differs by {difference:.3g} from the plain run")
        return results

    def _record(self, pool: Any, hold: Callable[[], object]) -> tuple[Tensor, ...]:
        """Record the loop on the current GPU; return the plain run's results."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            # Twice: the first run fills tables and selects kernels, which may allocate memory.
            self.run()
            plain = self.run()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            self._outputs = self.run()
        self._graph, self._held = graph, hold()
        return plain


class LoopCache:
    """Recordings by key."""

    def __init__(
        self, *, device: torch.device, is_enabled: bool = True, hold: Callable[[], object] = lambda: None
    ) -> None:
        """Start empty.

        Args:
            device: of the model; recordings exist on CUDA only.
            is_enabled: False never records.
            hold: returns tensors that recordings read and that must outlive them.
        """
        is_cuda = device.type == "cuda"
        self.is_enabled = is_enabled and is_cuda
        self.reason = "" if self.is_enabled else ("switched off" if is_cuda else "no CUDA device")
        """Why loops are not recorded; empty when they are."""
        self._hold = hold
        self._pool: Any = None
        self._loops: OrderedDict[Hashable, Loop] = OrderedDict()

    def run(
        self, key: Hashable, function: LoopFunction, *, cache: PrefixCache, values: dict[str, Tensor]
    ) -> tuple[Tensor, ...]:
        """Return a loop's results, from a recording where possible.

        Args:
            key: what `function` depends on besides its arguments' contents; sizes are added here.
            function: the loop.
            cache: the prefix of this run.
            values: the inputs of this run; "x" [B, H, A] gives batch and horizon.
        """
        batch, horizon = values["x"].shape[:2]
        slots = bucket_of(cache.length)
        full_key = (key, slots, batch)
        loop = self._loops.get(full_key)
        if loop is None:
            layout = Layout(cache, batch=batch, horizon=horizon, slots=slots)
            inputs = {name: torch.empty_like(value) for name, value in values.items()}
            loop = self._loops[full_key] = Loop(layout, inputs, function)
            if len(self._loops) > KEPT:
                self._loops.popitem(last=False)
        self._loops.move_to_end(full_key)
        loop.fill(cache, values)
        if self.is_enabled:
            try:
                with torch.cuda.device(cache.keys.device):
                    self._pool = self._pool or torch.cuda.graph_pool_handle()
                    return loop.replay(pool=self._pool, hold=self._hold)
            except (RuntimeError, ValueError) as error:
                self.is_enabled, self.reason = False, f"recording failed: {error}"
                _log.warning("CUDA graphs are off, steering runs unrecorded and slower: %s", error)
                loop.fill(cache, values)
        return loop.run()

    def clear(self) -> None:
        """Forget all recordings."""
        self._loops.clear()
