"""Episodes under a wrong clock, with odd images, odd rates and odd words: listed, shown and exported without a surprise."""

import dataclasses
import json
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest

from frs_core.commands import episode_show
from frs_core.commands import episodes as commands
from frs_core.commands.stats import stats
from frs_core.episodes import EpisodeStore, JournalRecorder
from frs_core.episodes.export_droid import export_droid
from frs_core.episodes.export_lerobot import export_lerobot
from frs_core.episodes.export_mp4 import export_mp4
from frs_core.episodes.layout import is_name, new_name
from frs_core.episodes.video import fitted, read_video
from frs_core.errors import EpisodeError
from frs_core.events import Outcome
from tests.fakes.episodes import random_chunks, random_meta


@pytest.fixture
def store(tmp_path: Path) -> EpisodeStore:
    return EpisodeStore(tmp_path / "data")


def made(store: EpisodeStore, seed: int = 0, *, chunks=None, cameras=("left", "wrist"), size: int = 32, **meta) -> str:
    recorder = JournalRecorder(store)
    name = recorder.begin(random_meta(seed, cameras=cameras, size=size, **meta))
    said = {"instruction": meta["instruction"]} if "instruction" in meta else {}
    for chunk in chunks or random_chunks(seed, count=2, cameras=cameras, size=size, **said):
        recorder.chunk(chunk)
    recorder.end(Outcome.SUCCESS, f"episode {seed}")
    return name


def test_last_is_what_was_recorded_last_though_the_clock_was_set_back(store, monkeypatch) -> None:
    real, names = time.time, []
    for seed, shift in enumerate((0.0, -86400.0, -2 * 86400.0, -60 * 365 * 86400.0)):
        monkeypatch.setattr(time, "time", lambda shift=shift: real() + shift)
        names.append(made(store, seed, started_unix=real() + shift))
        assert store.find("last") == names[-1]
    assert [i.name for i in store.list()] == names
    assert not any(i.problem for i in store.list())
    store.bin(names[-1])
    assert made(store, 9) > names[-1]


def test_a_clock_before_1970_and_a_name_of_the_year_9999_still_give_names() -> None:
    assert is_name(new_name(now=-1e9))
    assert is_name(new_name(now=1.7e9, after="99991231T235959Z_" + "Z" * 26))


def test_show_goes_on_past_a_damaged_episode_and_a_damaged_chunk(store, capsys, monkeypatch) -> None:
    first, second = made(store, 1), made(store, 2)
    (store.path(first) / "zarr.json").write_text("{")
    real = episode_show.chunk_row

    def row(episode, index):
        if index == 1:
            raise ValueError("a kind of a later version")
        return real(episode, index)

    monkeypatch.setattr(episode_show, "chunk_row", row)
    assert commands.show((first, second), data=store.root) == 1
    out = capsys.readouterr().out
    assert "zarr.json" in out
    assert "chunk 1  ValueError: a kind of a later version" in out
    assert second in out


def test_an_episode_given_twice_is_taken_once(store, tmp_path, capsys) -> None:
    name = made(store, 1)
    assert commands.bin_episodes((name, "last"), data=store.root) == 0
    assert commands.restore((name, name), data=store.root) == 0
    assert commands.export((name, name), format="droid", out=tmp_path / "droid", data=store.root) == 0
    out = capsys.readouterr().out
    assert "✗" not in out
    assert out.count("Wrote") == 1


def test_a_task_without_episodes_is_named(store, capsys) -> None:
    made(store, 1)
    assert commands.list_episodes(task="nowhere", data=store.root) == 0
    assert stats(task="nowhere", data=store.root) == 0
    assert capsys.readouterr().out.count(f"No episodes of task 'nowhere' in '{store.root}'") == 2


def test_check_goes_on_past_a_policy_that_fails(store, capsys, monkeypatch) -> None:
    made(store, 1)
    made(store, 2)

    def broken(name: str) -> None:
        raise RuntimeError("size mismatch")

    monkeypatch.setattr("frs_core.policies.load_policy", broken)
    assert commands.check(data=store.root) == 1
    assert capsys.readouterr().out.count("not checked: RuntimeError: size mismatch") == 2


def test_an_episode_without_pictures_is_exported_or_refused_in_a_sentence(store, tmp_path) -> None:
    episode = store.open(made(store, cameras=()))
    with pytest.raises(EpisodeError, match="has no images"):
        export_mp4(episode, tmp_path / "a.mp4")
    assert (export_droid(episode, tmp_path / "droid") / "trajectory.h5").is_file()
    assert (
        json.loads((export_lerobot(episode, tmp_path / "lerobot") / "meta/info.json").read_text())["total_videos"] == 0
    )


def test_a_trajectory_states_the_robot_of_its_episode_and_guesses_none(tmp_path) -> None:
    stated = {}
    for robot in ("fr3", ""):
        store = EpisodeStore(tmp_path / (robot or "silent"))
        recorder = JournalRecorder(store)
        name = recorder.begin(random_meta(robot=robot, cameras=()))
        recorder.chunk(next(random_chunks(count=1, cameras=())))
        recorder.end(Outcome.SUCCESS)
        folder = export_droid(store.open(name), tmp_path / "droid" / robot)
        stated[robot] = json.loads(next(folder.glob("metadata_*.json")).read_text())["robot_serial"]
    assert stated == {"fr3": "fr3", "": "unknown"}


def test_an_episode_whose_every_chunk_was_undone_is_refused_in_a_sentence(store, tmp_path) -> None:
    recorder = JournalRecorder(store)
    name = recorder.begin(random_meta())
    recorder.chunk(next(random_chunks(count=1)))
    recorder.undo(0)
    recorder.end(Outcome.FAILURE)
    for export in (export_droid, export_lerobot, export_mp4):
        with pytest.raises(EpisodeError, match="nothing to export"):
            export(store.open(name), tmp_path / "out")


def test_a_camera_that_changes_its_size_keeps_its_proportions_in_every_export(store, tmp_path) -> None:
    small, large = list(random_chunks(6, size=32, count=2)), list(random_chunks(6, size=64, count=2))
    name = made(store, chunks=[small[0], dataclasses.replace(large[1], index=1)], cameras=("left", "right", "wrist"))
    episode = store.open(name)
    assert export_mp4(episode, tmp_path / "a.mp4").is_file()
    root = export_lerobot(episode, tmp_path / "lerobot")
    assert len(list(read_video(next(root.rglob("*.mp4"))))) == 8
    folder = export_droid(episode, tmp_path / "droid")
    pictures = list(read_video(folder / "recordings/MP4/10000001.mp4"))
    assert {p.shape for p in pictures} == {(32, 32, 3)}
    assert np.abs(pictures[6].astype(float) - fitted(episode.frame("left", 6), (32, 32))).mean() < 25


def test_a_picture_of_other_proportions_is_fitted_not_stretched() -> None:
    wide = np.full((10, 40, 3), 200, np.uint8)
    result = fitted(wide, (20, 20))
    assert result.shape == (20, 20, 3)
    assert (result[8:12] == 200).all()
    assert not result[:7].any()
    assert not result[13:].any()


def test_a_dataset_takes_an_episode_once(store, tmp_path) -> None:
    episode, other = store.open(made(store, 1)), store.open(made(store, 2))
    root = export_lerobot(episode, tmp_path / "d")
    with pytest.raises(EpisodeError, match="already, as number 0"):
        export_lerobot(episode, root)
    export_lerobot(other, root)
    assert json.loads((root / "meta/info.json").read_text())["total_episodes"] == 2


def test_statistics_have_the_quantiles_that_trainers_normalise_by(store, tmp_path) -> None:
    episode = store.open(made(store, 1))
    root = export_lerobot(episode, tmp_path / "d")
    stats = json.loads((root / "meta/episodes_stats.jsonl").read_text())["stats"]
    sent = episode.arrays["steps/action_sent"]
    np.testing.assert_allclose(stats["actions"]["q01"], np.quantile(sent, 0.01, axis=0), atol=1e-6)
    assert np.shape(stats["wrist_image_left"]["q99"]) == (3, 1, 1)


@pytest.mark.parametrize("hz", [12.5, 0.4])
def test_a_rate_that_is_not_whole_is_kept(store, tmp_path, hz) -> None:
    root = export_lerobot(store.open(made(store, control_hz=hz)), tmp_path / "d")
    assert json.loads((root / "meta/info.json").read_text())["fps"] == hz
    times = parquet.read_table(next(root.rglob("*.parquet")))["timestamp"].to_numpy()
    np.testing.assert_allclose(times, np.arange(8) / hz, rtol=1e-6)
    av = pytest.importorskip("av")
    with av.open(str(next(root.rglob("*.mp4")))) as film:
        shown = [float(frame.time) for frame in film.decode(video=0)]
    np.testing.assert_allclose(shown, np.arange(8) / hz, atol=1e-4)


@pytest.mark.parametrize("task", ["a\u2028b", "a\x85b", "a\nb", "杯子 ☕️", 'say "hi" \\ end', ""])
def test_any_task_may_be_followed_by_another_episode_however_its_lines_were_written(store, tmp_path, task) -> None:
    root = export_lerobot(store.open(made(store, 1, instruction=task)), tmp_path / "d")
    for name in ("tasks", "episodes"):
        path = root / "meta" / f"{name}.jsonl"
        lines = [json.loads(line) for line in path.read_text().split("\n") if line]
        path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    export_lerobot(store.open(made(store, 2, instruction="other")), root)
    tasks = [json.loads(line)["task"] for line in (root / "meta/tasks.jsonl").read_text().split("\n") if line]
    assert tasks == [task, "other"]


def test_a_dataset_that_other_tools_added_keys_to_is_still_the_same(store, tmp_path) -> None:
    root = export_lerobot(store.open(made(store, 1)), tmp_path / "d")
    info = json.loads((root / "meta/info.json").read_text())
    info["fps"] = 15.0
    info["features"]["actions"]["fps"] = 15.0
    (root / "meta/info.json").write_text(json.dumps(info))
    export_lerobot(store.open(made(store, 2)), root)


def test_a_cloned_repository_takes_a_dataset(store, tmp_path) -> None:
    (tmp_path / "d" / ".git").mkdir(parents=True)
    (tmp_path / "d" / "README.md").touch()
    export_lerobot(store.open(made(store, 1)), tmp_path / "d")


def test_numbers_that_are_none_do_not_become_training_data(store, tmp_path) -> None:
    chunk = next(random_chunks(1, count=1, cameras=("left", "wrist")))
    seen = dataclasses.replace(chunk.steps[2].observation, q=np.full(7, np.nan))
    steps = (*chunk.steps[:2], dataclasses.replace(chunk.steps[2], observation=seen), chunk.steps[3])
    name = made(store, chunks=[dataclasses.replace(chunk, steps=steps)])
    with pytest.raises(EpisodeError, match=r"'joint_position' is not a number in 1 of 4 steps, first in step 2"):
        export_lerobot(store.open(name), tmp_path / "d")
    assert not (tmp_path / "d" / "meta").exists()
