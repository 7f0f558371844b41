"""Damaged files: the reader names them, or the data are what was written. Never a crash, never wrong numbers."""

import dataclasses
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from frs_core.episodes import EpisodeStore, JournalRecorder
from frs_core.errors import EpisodeCorrupt
from frs_core.events import Outcome
from tests.fakes.episodes import record

N_CHUNKS = 2


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    store = EpisodeStore(tmp_path_factory.mktemp("store"))
    recorder = JournalRecorder(store)
    name = record(recorder, 11, count=N_CHUNKS, size=16, rows=2)
    recorder.end(Outcome.SUCCESS, "the original")
    return store, name


def everything(store: EpisodeStore, name: str) -> list[bytes]:
    """Read all that a reader can read."""
    episode = store.open(name)
    info = dataclasses.replace(episode.info, path=Path())
    parts = [repr(info).encode(), repr(episode.attributes).encode()]
    for i in range(episode.n_chunks):
        parts += [repr(episode.plan(i)).encode(), repr(episode.offers(i).labels).encode(), episode.snapshot(i) or b""]
        record = episode.chunk(i)
        parts += [record.noise.tobytes(), record.offered_paths.tobytes(), repr(record.latency).encode()]
        for observation in (record.observation, record.after, *(s.observation for s in record.steps)):
            parts += [observation.q.tobytes(), observation.T_base_tcp.tobytes(), repr(observation.extra).encode()]
            parts += [f.image.tobytes() for f in observation.frames.values()]
    for path in sorted(p.parent.relative_to(episode.path).as_posix() for p in episode.path.rglob("c")):
        parts.append(np.ascontiguousarray(episode.arrays[path]).tobytes())
    return parts


def mutate(path: Path, rng: random.Random) -> str:
    """Damage one file in one of several ways and say how."""
    data = bytearray(path.read_bytes())
    way = rng.choice(["flip", "flip", "burst", "truncate", "delete", "empty", "zero", "grow", "swap"])
    if way == "delete":
        path.unlink()
        return way
    at = rng.randrange(len(data))
    if way == "flip":
        data[at] ^= 1 << rng.randrange(8)
    elif way == "burst":
        data[at : at + 16] = rng.randbytes(len(data[at : at + 16]))
    elif way == "truncate":
        del data[at:]
    elif way == "empty":
        data.clear()
    elif way == "zero":
        data = bytearray(len(data))
    elif way == "grow":
        data += rng.randbytes(16)
    else:
        data = data[at:] + data[:at]
    path.write_bytes(data)
    return way


def damage_found(store: EpisodeStore, name: str, want: list[bytes]) -> str:
    """Return what the reader complained about; without a complaint the data must be what was written."""
    try:
        got = everything(store, name)
    except EpisodeCorrupt as error:
        return str(error)
    assert got == want
    return ""


def test_three_hundred_mutations_are_named_or_harmless(original, tmp_path):
    store, name = original
    want = everything(store, name)
    rng, named, harmless = random.Random(5), 0, 0
    source = store.path(name)
    files = sorted(p.relative_to(source) for p in source.rglob("*") if p.is_file())
    scratch = EpisodeStore(tmp_path)
    target = tmp_path / "episodes" / source.name
    shutil.copytree(source, target)
    for number in range(300):
        victim = files[number % len(files)] if number < len(files) else rng.choice(files)
        way = mutate(target / victim, rng)
        problem = damage_found(scratch, name, want)
        assert not problem or victim.as_posix() in problem, (victim, way, problem)
        named, harmless = named + bool(problem), harmless + (not problem)
        scratch.list()
        shutil.copy2(source / victim, target / victim)
    assert named + harmless == 300
    assert named >= 280


def test_a_deleted_chunk_file_is_noticed_even_after_opening(original, tmp_path):
    store, name = original
    target = tmp_path / "episodes" / store.path(name).name
    shutil.copytree(store.path(name), target)
    episode = EpisodeStore(tmp_path).open(name)
    (target / "steps" / "q" / "c" / "0" / "0").unlink()
    with pytest.raises(EpisodeCorrupt, match="steps/q/c/0/0"):
        _ = episode.arrays["steps/q"]


def test_a_file_replaced_by_a_folder_is_named(original, tmp_path):
    store, name = original
    target = tmp_path / "episodes" / store.path(name).name
    shutil.copytree(store.path(name), target)
    shutil.rmtree(target / "chunks")
    (target / "chunks").write_text("not a folder")
    with pytest.raises(EpisodeCorrupt, match="chunks/"):
        EpisodeStore(tmp_path).open(name)
    (target / "zarr.json").unlink()
    (target / "zarr.json").mkdir()
    with pytest.raises(EpisodeCorrupt, match=r"zarr\.json"):
        EpisodeStore(tmp_path).open(name)
    assert EpisodeStore(tmp_path).list()[0].problem


def test_an_unknown_schema_is_refused_with_both_versions(original, tmp_path):
    from frs_core.episodes.integrity import group_metadata, read_group_metadata

    store, name = original
    target = tmp_path / "episodes" / store.path(name).name
    shutil.copytree(store.path(name), target)
    attributes = {**read_group_metadata(target), "schema_version": 99}
    (target / "zarr.json").write_bytes(group_metadata(attributes))
    with pytest.raises(EpisodeCorrupt, match=r"schema_version 99 .* this version reads 1"):
        EpisodeStore(tmp_path).open(name)
