"""What sounds, and when: six short cues, each for a change that is also shown.

Problem: an operator who watches the arm does not see the state bar. Idea: the newest snapshot is compared with the one before, and the
most important change makes one cue; its visual twin is on screen whether sounds are on or off.

| cue | when | shown as |
|---|---|---|
| Hold | motion was stopped, or world or policy is lost | badge HOLD or FAULT, the reason beside it |
| help wanted | the robot waits for a person: to label, to go on, or to steer where the learned policy is unsure | badge HOLD, or CHOOSE for steering; the sentence says what is wanted |
| refused | a press had no effect | a message with the reason |
| success seen | the world says that the task is done | *Success ?* stressed, a message |
| ready | a fan waits for a pick | badge CHOOSE, *Pick a direction* |
| chunk ended | the arm stands, the next fan is being made | the badge leaves MOVING, no time left in the chunk |

Pure; any thread.
"""

import enum
import io
import math
import wave
from array import array

from frs_core.events import Driver, HoldReason, Pacing, Phase, Snapshot

RATE = 44_100
"""Samples per second."""
LOUDNESS = 0.35
"""Of full scale, so that a cue is no fright on headphones."""
EDGE_S = 0.006
"""Fade at both ends of a tone, so that it does not click."""
RESTING = (HoldReason.START, HoldReason.EPISODE_END, None)
CALLS = (
    HoldReason.LABEL_ASKED,
    HoldReason.SUCCESS_SEEN,
    HoldReason.UNATTENDED,
    HoldReason.CHUNKS_USED_UP,
    HoldReason.PRACTICE_ENDED,
    HoldReason.COMPARISON_ENDED,
)
"""Holds in which nothing is wrong: the robot waits for a person."""


class Cue(enum.Enum):
    """One sound: pairs of frequency in Hz (0 = silence) and duration in seconds. The first ones go before the others."""

    HOLD = ((523.0, 0.08), (392.0, 0.08), (262.0, 0.16))
    HELP = ((988.0, 0.09), (784.0, 0.09), (0.0, 0.06), (988.0, 0.09), (784.0, 0.09))
    REFUSED = ((185.0, 0.07), (0.0, 0.04), (185.0, 0.07))
    SUCCESS = ((659.0, 0.08), (880.0, 0.08), (1319.0, 0.14))
    READY = ((880.0, 0.05),)
    CHUNK_ENDED = ((587.0, 0.04),)

    @property
    def seconds(self) -> float:
        """How long it sounds."""
        return sum(seconds for _, seconds in self.value)


def cue_of(former: Snapshot | None, now: Snapshot) -> Cue | None:
    """Return the cue for what changed between two snapshots; None for nothing that sounds."""
    if former is None:
        return None
    is_again = now.phase is not former.phase or now.counters.get("holds", 0) > former.counters.get("holds", 0)
    if _is_stopped(now) and (is_again or not _is_stopped(former)):
        return Cue.HELP if now.phase is Phase.HOLD and now.hold_reason in CALLS else Cue.HOLD
    if now.call and not former.call:
        return Cue.HELP
    if now.counters.get("refused", 0) > former.counters.get("refused", 0):
        return Cue.REFUSED
    if now.episode.success_seen and not former.episode.success_seen:
        return Cue.SUCCESS
    if _waits_for_a_pick(now) and not _waits_for_a_pick(former):
        return Cue.READY
    is_gated = now.driver is Driver.PERSON and now.pacing is Pacing.GATED and now.waiting is None
    if former.phase is Phase.MOVING and now.phase is Phase.CHOOSE and is_gated:
        return Cue.CHUNK_ENDED
    return None


def _is_stopped(s: Snapshot) -> bool:
    return s.phase is Phase.FAULT or (s.phase is Phase.HOLD and s.hold_reason not in RESTING)


def _waits_for_a_pick(s: Snapshot) -> bool:
    is_on_offer = s.phase is Phase.CHOOSE and s.fan is not None and not s.is_fan_stale and not s.is_fan_pending
    return is_on_offer and s.driver is Driver.PERSON and s.pacing is Pacing.GATED


def wav_of(cue: Cue) -> bytes:
    """Return a cue as a WAV file: 16 bits, one channel, `RATE`."""
    samples = array("h")
    for hertz, seconds in cue.value:
        count = int(seconds * RATE)
        for i in range(count):
            edge = min(i, count - 1 - i) / (EDGE_S * RATE)
            samples.append(int(32767 * LOUDNESS * min(1.0, edge) * math.sin(2 * math.pi * hertz * i / RATE)))
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(samples.tobytes())
    return file.getvalue()
