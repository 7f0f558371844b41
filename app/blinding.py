"""What a person may see of a session while a blinded comparison runs: everything but who drives.

Problem: who drives shows in many places: the badge, the curves, verdicts, latencies, the log, the status file. Idea: one function between
the session and everything that shows or writes something. It passes on pictures, motion, holds and their reasons as they are, and takes out
whatever differs between two policies. Directions, settings of the fan and other policies are refused meanwhile: a steered attempt would
compare nothing. Any thread.

Example: `blinding.shown(snapshot).driver.value` is "blinded" while `blinding.is_on`.
"""

from dataclasses import replace

from frs_core.events import Driver, Latency, Pacing, Snapshot

BLINDED = Driver("blinded")
_COUNTERS = ("picks", "corrections", "late_answers")
"""Totals that depend on who drives."""
_REFUSED = (
    "pick.",
    "steer.",
    "gripper.",
    "driver.",
    "knob.",
    "chunk.back",
    "drive.pacing",
    "drive.look_ahead",
    "drive.help",
    "drive.hand_back",
    "drive.unmark",
    "episode.task",
    "episode.scene",
    "episode.practice",
    "episode.auto_next",
    "learned.",
    "train.use",
    "train.unload",
    "practise.start",
    "practise.use",
    "practise.unload",
)


class Blinding:
    """Whether a blinded comparison runs, and what it hides."""

    def __init__(self) -> None:
        self.is_on = False

    def shown(self, snapshot: Snapshot) -> Snapshot:
        """Return what may be shown of a snapshot."""
        if not self.is_on:
            return snapshot
        notice = snapshot.notice
        if notice is not None and snapshot.unloaded is not None and snapshot.unloaded[1] == notice[1]:
            notice = notice[0], "A policy of the comparison could not be loaded; Start retries"
        return replace(
            snapshot,
            driver=BLINDED,
            # Motion comes without another act, whoever drives.
            pacing=Pacing.CONTINUOUS,
            fan=None,
            is_fan_stale=False,
            is_fan_pending=False,
            picked=None,
            picked_by=None,
            waiting=None,
            suggestion=None,
            noise_policy=None,
            unloaded=None,
            call="",
            shadow=(0, 0),
            episode=replace(snapshot.episode, can_go_back=False),
            latency=Latency(loop_hz=snapshot.latency.loop_hz, jitter_ms=snapshot.latency.jitter_ms),
            counters={name: n for name, n in snapshot.counters.items() if name not in _COUNTERS},
            notice=notice,
        )

    def why_not(self, action: str) -> str:
        """Return why an action is refused now, as a sentence without full stop; empty where it is not."""
        if not self.is_on or not action.startswith(_REFUSED):
            return ""
        if action.startswith(("learned.", "train.", "practise.")):
            return "A blinded comparison is running; stop it first"
        return "Nobody steers a blinded comparison; Hold, labels and notes work"
