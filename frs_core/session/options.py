"""A session's time-outs and settings."""

from dataclasses import dataclass

from frs_core.events import Driver, Pacing
from frs_core.steering.directions import Gripper


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """Settings that stay the same while a session lives; durations in seconds."""

    operator: str = ""
    """Name stored with episodes."""
    pacing: Pacing = Pacing.GATED
    driver: Driver = Driver.PERSON
    gripper: Gripper = Gripper.POLICY
    inference_timeout_s: float = 3.0
    """Longest wait for a fan before Hold. Guess; ten times a slow CPU's fan."""
    first_timeout_s: float = 120.0
    """The same for loading and the first fan, which may compile."""
    scene_timeout_s: float = 30.0
    """Longest reset or restore."""
    chooser_timeout_s: float = 60.0
    """Longest wait for a chooser before it is a person's turn."""
    write_timeout_s: float = 10.0
    """Longest wait for the disk before Hold."""
    act_life_s: float = 1.0
    """How old a press may be when the session reads it. Guess; longer than a usual delay, shorter than a change of mind."""
    heartbeat_timeout_s: float = 1.0
    """Longest silence of a view that has sent a heartbeat."""
    refresh_s: float = 1.0
    """On a real robot, a waiting fan is remade at this interval: the scene may change by itself."""
    is_headless: bool = False
    """Nobody watches: no previews while holding, and a chooser that has no opinion lets the policy act."""
    has_full_fan: bool = True
    """Compute the usual directed candidates always; False = only those the driver's chooser asks for."""
    unattended_chunks: int = 40
    """With a view: after this many chunks in a row that no person picked the robot holds. Guess; three times a usual episode."""
    asks_for_help: bool = False
    """Where the driver is unsure it stops at the chunk boundary and waits for a person, or for who answers in their place."""
    helped_chunks: int = 1
    """Chunks that who answers in a person's place steers after the first call of an episode; after each further one twice as many."""
    ends_on_success: bool = False
    """Headless: the episode ends when the world reports success. With a view it is only offered."""
