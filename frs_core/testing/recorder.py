"""What every recorder keeps to."""

from collections.abc import Sequence

import pytest

from frs_core.episodes.records import ChunkRecord, EpisodeMeta, Recorder
from frs_core.errors import EpisodeError
from frs_core.events import Outcome


class RecorderContract:
    """Inherit it and say how your recorder is made, and what it is given."""

    def make(self) -> Recorder:
        """Return a recorder with nothing in it."""
        raise NotImplementedError

    def episode(self) -> tuple[EpisodeMeta, Sequence[ChunkRecord]]:
        """Return an episode of at least two chunks."""
        raise NotImplementedError

    def test_episodes_come_one_after_the_other_under_names_of_their_own(self) -> None:
        recorder, (meta, chunks) = self.make(), self.episode()
        names = []
        for outcome in (Outcome.SUCCESS, Outcome.FAILURE):
            names.append(recorder.begin(meta))
            for record in chunks:
                recorder.chunk(record)
            recorder.end(outcome)
        assert len(set(names)) == 2

    def test_only_one_episode_is_open(self) -> None:
        recorder, (meta, _) = self.make(), self.episode()
        with pytest.raises(EpisodeError):
            recorder.end(Outcome.SUCCESS)
        recorder.begin(meta)
        with pytest.raises(EpisodeError):
            recorder.begin(meta)
        recorder.abort()

    def test_a_chunk_that_was_undone_may_be_followed_by_another(self) -> None:
        recorder, (meta, chunks) = self.make(), self.episode()
        recorder.begin(meta)
        recorder.chunk(chunks[0])
        recorder.chunk(chunks[1])
        recorder.undo(chunks[1].index)
        recorder.end(Outcome.SUCCESS)

    def test_leaving_an_episode_never_raises(self) -> None:
        recorder, (meta, chunks) = self.make(), self.episode()
        recorder.abort()
        recorder.begin(meta)
        recorder.chunk(chunks[0])
        recorder.abort()
        recorder.abort()
        recorder.begin(meta)
        recorder.abort()
