"""Put the parts of a session into one frozen snapshot for views."""

import dataclasses

import numpy as np

from frs_core.events import EpisodeStatus, Snapshot
from frs_core.session.failsafes import values_of
from frs_core.session.parts import Parts


def snapshot_of(p: Parts) -> Snapshot:
    """Return everything a view needs, frozen; on the session's thread."""
    episode, chunk, timing = p.keeper.episode, p.motion.chunk, p.link.timing
    return Snapshot(
        phase=p.status.phase,
        hold_reason=p.status.reason,
        detail=p.status.detail,
        driver=p.arbiter.driver,
        pacing=p.arbiter.pacing,
        observation=p.world.observation,
        fan=p.fans.fan,
        is_fan_stale=p.fans.fan is not None and not p.is_offering,
        is_fan_pending=p.fans.is_pending and not p.fans.is_fresh,
        picked=chunk.candidate.label if chunk else None,
        picked_by=chunk.picked_by if chunk else None,
        chunk_row=len(chunk.steps) if chunk else 0,
        chunk_rows=chunk.rows if chunk else 0,
        plan=p.fans.plan,
        gripper=p.fans.gripper,
        episode=episode.status() if episode else EpisodeStatus(),
        latency=dataclasses.replace(p.fans.latency, loop_hz=timing.hz, jitter_ms=timing.jitter_ms),
        trail=np.array(episode.trail) if episode else np.zeros((0, 3)),
        target=p.motion.target,
        looks_ahead=p.arbiter.looks_ahead,
        waiting=p.arbiter.waiting_at(p.link.epoch),
        ended=p.keeper.last,
        noise_policy=p.fans.noise_policy,
        unloaded=p.fans.unloaded,
        asks_for_help=p.arbiter.asks_for_help,
        call=p.arbiter.call,
        shadow=p.arbiter.shadow,
        suggestion=p.arbiter.suggestion,
        failsafes=values_of(p.options),
        counters={**p.status.counters, "late_answers": p.late_answers},
        notice=p.status.notice,
    )
