"""A toy policy whose inference waits for a test's permission, and a server of it as a process of its own."""

import sys
import threading

from jaxtyping import Float
from torch import Tensor

from frs_core.policies.base import Context
from frs_core.robot.observation import Observation
from frs_core.serving.server import build_server
from frs_core.serving.websocket_server import ServerSettings
from frs_core.steering.methods import Reference, Steered, SteeringPlan
from tests.fakes.policy import ToyPolicy
from tests.waiting import LONG_S


class GatedPolicy(ToyPolicy):
    """Steering blocks until `gate` is set; `entered` tells that it has begun."""

    def __init__(self, *, is_open: bool = False, fingerprint: str = "toy-1") -> None:
        """Build the toy with a gate.

        Args:
            is_open: whether the gate is open from the start.
            fingerprint: as of `ToyPolicy`.
        """
        super().__init__(fingerprint=fingerprint)
        self.gate, self.entered = threading.Event(), threading.Event()
        self.encoded = 0
        self.threads: set[int] = set()
        if is_open:
            self.gate.set()

    def encode(self, observation: Observation) -> Context:
        """Count, and note the thread."""
        self.encoded += 1
        self.threads.add(threading.get_ident())
        return super().encode(observation)

    def velocity(self, context: Context, x: Float[Tensor, "B H A"], t: float) -> Float[Tensor, "B H A"]:
        """Note the thread."""
        self.threads.add(threading.get_ident())
        return super().velocity(context, x, t)

    def steer(self, context: Context, reference: Reference, plan: SteeringPlan) -> Steered:
        """Wait for the gate, at most 20 s."""
        self.entered.set()
        assert self.gate.wait(LONG_S)
        return super().steer(context, reference, plan)


def main() -> None:
    """Serve: arguments are the port (0 = any) and whether the gate is open; prints the port, then 'steering'."""
    policy = GatedPolicy(is_open=sys.argv[2] == "open")
    server = build_server(policy, ServerSettings(port=int(sys.argv[1])))

    def say(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def announce() -> None:
        assert policy.entered.wait(LONG_S)
        say("steering")

    threading.Thread(target=announce, daemon=True).start()
    server.run(lambda: say(str(server.port)))


if __name__ == "__main__":
    main()
