"""Recorded episodes: write them while they happen, find them, read them, train on them. Layout: `docs/episodes.md`."""

from frs_core.episodes.fans import command_of, recorded_fan
from frs_core.episodes.index import EpisodeInfo
from frs_core.episodes.reader import Episode, Offers
from frs_core.episodes.recovery import Unfinished, bin_unfinished, recover, unfinished
from frs_core.episodes.store import EpisodeStore
from frs_core.episodes.writer import JournalRecorder

__all__ = [
    "Episode",
    "EpisodeInfo",
    "EpisodeStore",
    "JournalRecorder",
    "Offers",
    "Unfinished",
    "bin_unfinished",
    "command_of",
    "recorded_fan",
    "recover",
    "unfinished",
]
