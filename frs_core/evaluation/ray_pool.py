"""Run cells on a Ray cluster: actors instead of processes, with the same cells and results.

Optional (`pip install frs-cockpit[ray]`). Every node needs the product installed and the same trained policies at the
same path (a shared folder). Without an address, Ray runs on this machine.
"""

import copy
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from frs_core.errors import ConfigError, FrsError, PolicyTimeout
from frs_core.evaluation.pool import take_near
from frs_core.evaluation.results import Cell, Result
from frs_core.evaluation.serve import runner_class
from frs_core.evaluation.worker import Ready, WorkerJob


def import_ray() -> Any:
    """Return the module Ray. Raises ConfigError, with what to install, where it is not."""
    try:
        import ray  # pyright: ignore[reportMissingImports]  an extra
    except ImportError as error:
        raise ConfigError("Ray is not installed. Run `pip install frs-cockpit[ray]`, or leave --ray out.") from error
    return ray


class RayPool:
    """Workers as Ray actors, one CPU each."""

    def __init__(
        self,
        job: WorkerJob,
        *,
        workers: int,
        address: str | None = None,
        start_timeout_s: float = 600.0,
        cell_timeout_s: float = 600.0,
    ) -> None:
        """Start or join a cluster and make the actors.

        Args:
            job: what each of them loads.
            workers: how many; one CPU each.
            address: of a running cluster ("auto" = the one on this machine); None = start one here.
            start_timeout_s: longest time to load, waiting for nodes included.
            cell_timeout_s: longest time for one episode.
        Raises:
            ConfigError: Ray is not installed.
        """
        self._ray = ray = import_ray()
        self._owns = not ray.is_initialized()
        if self._owns:
            options: dict[str, Any] = {"num_cpus": workers} if address is None else {"address": address}
            ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR", **options)
        self._job, self._start_timeout_s, self._cell_timeout_s = job, start_timeout_s, cell_timeout_s
        self._remote = ray.remote(num_cpus=1, max_restarts=0)(runner_class(job))
        self._actors = [self._remote.remote(job) for _ in range(max(1, workers))]
        self._facts: Ready | None = None

    def ready(self) -> Ready:
        """Return the facts of the first worker. Raises if it cannot start."""
        if self._facts is None:
            try:
                self._facts = self._ray.get(self._actors[0].facts.remote(), timeout=self._start_timeout_s)
            except self._ray.exceptions.GetTimeoutError as error:
                raise PolicyTimeout(
                    f"No Ray worker was ready after {self._start_timeout_s:g} s. Check `ray status`, or use fewer workers."
                ) from error
            except self._ray.exceptions.RayError as error:
                cause = getattr(error, "cause", None)
                raise (
                    cause
                    if isinstance(cause, FrsError)
                    else ConfigError(
                        f"A Ray worker could not start: {str(error).splitlines()[-1]}. Try without --ray first."
                    )
                ) from error
        assert self._facts is not None
        return self._facts

    def run(self, cells: Iterable[Cell]) -> Iterator[Result]:
        """Yield a result per cell, in order of completion."""
        waiting, tries, idle, last = deque(cells), dict[Cell, int](), deque(self._actors), dict[Any, Cell]()
        running: dict[Any, tuple[Any, Cell, float]] = {}
        while waiting or running:
            while waiting and idle:
                actor = idle.popleft()
                last[actor] = cell = take_near(waiting, last.get(actor))
                tries[cell] = tries.get(cell, 0) + 1
                running[actor.run.remote(cell)] = (actor, cell, time.monotonic() + self._cell_timeout_s)
            done, _ = self._ray.wait(list(running), num_returns=1, timeout=1.0)
            late = [ref for ref, (_, _, deadline) in running.items() if time.monotonic() > deadline and ref not in done]
            for ref in [*done, *late]:
                actor, cell, _ = running.pop(ref)
                try:
                    # Ray hands out arrays in its own memory, which may not be written to.
                    result = copy.deepcopy(self._ray.get(ref, timeout=0.0 if ref in late else 60.0))
                except (self._ray.exceptions.RayError, TimeoutError) as error:
                    self._ray.kill(actor)
                    self._actors[self._actors.index(actor)] = fresh = self._remote.remote(self._job)
                    idle.append(fresh)
                    why = f"The Ray worker failed: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
                    if tries[cell] < 2:
                        waiting.append(cell)
                        continue
                    result = Result.failed(cell, why)
                else:
                    idle.append(actor)
                yield result

    def close(self) -> None:
        """End all workers, and the cluster if it was started here; safe to call twice."""
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors = []
        if self._owns and self._ray.is_initialized():
            self._ray.shutdown()
