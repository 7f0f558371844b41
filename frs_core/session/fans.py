"""Keep the fan up to date: one request in flight, the latest request wins, late answers are dropped by number.

Everything that changes what the fan should show calls `want`, which raises a number; a fan counts only if it carries that
number. While one request is in flight no second one is sent, so that dragging a slider does not fill the worker's queue.

A fan that only ages (a real scene may change by itself) is renewed instead: the old one counts until the new one is ready, so that
no key press is lost in between.

Example: want() -> 5, request sent as 5; the slider moves: want() -> 6; the answer 5 comes and is not fresh; 6 is requested.
Used on the session's thread; the jobs run on the inference worker's.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from frs_core.choosers.base import NoisePolicy
from frs_core.errors import PolicyError
from frs_core.events import Latency, LoadNoisePolicy
from frs_core.robot.limits import Limits
from frs_core.robot.observation import Observation
from frs_core.runtime.workers import Answer, WorkQueue
from frs_core.session.inference import FanMaker, FanRequest, Loaded, NoisePolicyLoaded
from frs_core.steering.candidates import Fan
from frs_core.steering.directions import Command, Gripper
from frs_core.steering.plan import SteeringPlan
from frs_core.steering.policy_spec import PolicySpec


@dataclass(frozen=True, slots=True, eq=False)
class Failed:
    """A job of the policy's worker failed."""

    what: str
    """'load', 'fan' or 'noise policy'."""
    error: Exception


Answered = Loaded | Fan | NoisePolicyLoaded | Failed


class FanRequests:
    """Asks for fans and says which one counts."""

    def __init__(
        self,
        maker: FanMaker,
        worker: WorkQueue,
        *,
        plan: SteeringPlan | None,
        gripper: Gripper,
        timeout_s: float,
        first_timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ask for nothing yet.

        Args:
            maker: its methods are the jobs.
            worker: the inference worker.
            plan: steering settings; None = the policy's calibrated default.
            gripper: what directed candidates say about it at first.
            timeout_s: longest wait for a fan.
            first_timeout_s: longest wait for loading and for the first fan.
            clock: seconds, monotonic.
        """
        self._maker, self._worker, self._clock = maker, worker, clock
        self.timeout_s, self._first_timeout_s = timeout_s, first_timeout_s
        self._plan, self.gripper = plan, gripper
        self.latency = Latency()
        self.fan: Fan | None = None
        self.spec: PolicySpec | None = None
        self.policy_options: Mapping[str, str | int | float | bool] = {}
        self.noise_policy: str | None = None
        self.unloaded: tuple[str, str] | None = None
        """Path of the noise policy that was asked for last and could not be loaded, and why."""
        self.later: LoadNoisePolicy | None = None
        """Asks for the noise policy that takes the present one's place once no episode is open; None = it stays."""
        self._loading: tuple[int, str] | None = None
        """Ticket and path of the noise policy that was asked for last."""
        self.late_answers = 0
        self.wanted = 0
        self._kept: int | None = None
        self._asked = 0
        self._in_flight: tuple[int, float] | None = None
        self._side_ticket = 0
        self._side_jobs: dict[int, str] = {}
        self._has_inferred = False

    @property
    def plan(self) -> SteeringPlan:
        """The operator's settings; until a policy is loaded, the paper's."""
        return self._plan or SteeringPlan()

    @plan.setter
    def plan(self, plan: SteeringPlan) -> None:
        self._plan = plan

    @property
    def is_fresh(self) -> bool:
        """The present fan is the wanted one, or its renewal is under way."""
        return self.fan is not None and self.fan.request_id in (self.wanted, self._kept)

    @property
    def is_pending(self) -> bool:
        """A request is in flight."""
        return self._in_flight is not None

    @property
    def needs_request(self) -> bool:
        """The wanted fan has not been asked for, and nothing is in flight."""
        return self._asked != self.wanted and self._in_flight is None

    def want(self) -> int:
        """Declare the present fan out of date; return the wanted number."""
        self._kept = None
        self.wanted += 1
        return self.wanted

    def renew(self) -> int:
        """Request a newer fan; the present one counts until then. Return the wanted number."""
        kept = self.fan.request_id if self.fan is not None and self.is_fresh else None
        self.want()
        self._kept = kept
        return self.wanted

    def forget(self) -> None:
        """Drop the present fan, e.g. when its scene is gone."""
        self.fan = None

    def load(self) -> None:
        """Have the policy loaded."""
        self._side("load", self._maker.load)

    def set_noise_policy(self, noise_policy: NoisePolicy | str | None) -> None:
        """Have a noise policy (or the path of one) put into the coming fans; None removes it."""
        self._side("noise policy", lambda: self._maker.set_noise_policy(noise_policy))
        self.unloaded = self.later = None
        self._loading = (self._side_ticket, noise_policy) if isinstance(noise_policy, str) else None

    def begin(self, seed: int) -> None:
        """Tell the noise policy that an episode begins; what it draws at random follows from the scene's number."""
        self._side("noise policy", lambda: self._maker.begin(seed))

    def request(
        self, look: Observation, *, seed: int, commands: tuple[Command, ...] | None, limits: Limits | None
    ) -> None:
        """Ask for the wanted fan.

        Args:
            look: what it is made from.
            seed: of its noise.
            commands: directed candidates; None = the usual ones.
            limits: of the robot, for the verdicts.
        """
        plan = self.plan.with_seed(seed)
        request = FanRequest(self.wanted, look, plan, self.gripper, commands, limits)
        self._asked = request.request_id
        self._in_flight = (request.request_id, self._clock())
        self._worker.submit(request.request_id, lambda: self._maker.make(request))

    def poll(self) -> list[Answered]:
        """Return what the policy's worker has done; stale fans are counted, not returned."""
        return [a for a in map(self._take, self._worker.poll()) if a is not None]

    def overdue(self, *, is_awaited: bool = True) -> PolicyError | None:
        """Return the error of a request that takes too long, once; its answer will be late.

        Args:
            is_awaited: somebody waits for the fan. The time of a preview counts from when somebody does; that of loading and of the
                first fan always.
        """
        if self._in_flight is None:
            return None
        patience = self.timeout_s if self._has_inferred else self._first_timeout_s
        if self._has_inferred and not is_awaited:
            self._in_flight = (self._in_flight[0], self._clock())
        if self._clock() - self._in_flight[1] <= patience:
            return None
        self._in_flight = None
        self._maker.cancel()
        fix = "Reconnect to load it again" if self.spec is None else "Resume to ask again"
        return PolicyError(f"The policy gave no answer within {patience:g} s. {fix}.")

    def _side(self, what: str, job: Callable[[], object]) -> None:
        self._side_ticket -= 1
        self._side_jobs[self._side_ticket] = what
        self._worker.submit(self._side_ticket, job)

    def _take(self, answer: Answer) -> Answered | None:
        what = self._side_jobs.pop(answer.ticket, None)
        if what is None:
            if self._in_flight is None or answer.ticket != self._in_flight[0]:
                self.late_answers += 1
                return None
            self._in_flight = None
        if answer.error is not None:
            if self._loading is not None and answer.ticket == self._loading[0]:
                self.unloaded = (self._loading[1], str(answer.error))
            return Failed(what or "fan", answer.error)
        value = answer.value
        if value is None:
            return None
        if isinstance(value, Loaded):
            self.spec, self._plan = value.spec, self._plan or value.plan
            self.policy_options = value.options
            return value
        if isinstance(value, NoisePolicyLoaded):
            self.noise_policy = value.path
            return value
        assert isinstance(value, Fan)
        self._has_inferred = True
        if value.request_id != self.wanted:
            self.late_answers += 1
            return None
        self.fan, self._kept = value, None
        # A cached context cost nothing this time; the time of its encoding stays on display.
        encode_ms = value.encode_ms or self.latency.encode_ms
        self.latency = dataclasses.replace(
            self.latency, encode_ms=encode_ms, steer_ms=value.steer_ms, network_ms=value.network_ms
        )
        return value
