"""The next scene continues from what is recorded; the scene that runs is shown while it runs."""

import dataclasses
from pathlib import Path
from typing import Any

from app.scenes import Scenes, recorded_scenes
from frs_core.choosers.scripted import PolicyChooser
from frs_core.episodes import EpisodeStore, JournalRecorder
from frs_core.events import EpisodeStatus, StartEpisode
from frs_core.session import InlineSession
from tests.fakes.policy import ToyPolicy
from tests.fakes.snapshots import resting, snapshot
from tests.fakes.world import PointWorld


def record(root: Path, task: str, *seeds: int) -> str:
    """Record episodes and return the world's name."""
    world = PointWorld()
    with InlineSession(world, ToyPolicy(), recorder=JournalRecorder(EpisodeStore(root))) as session:
        for seed in seeds:
            session.run_episode(PolicyChooser(), task=task, seed=seed, max_chunks=1)
    return world.spec.name


def test_scenes_go_on_after_the_highest_recorded_one_of_each_task(tmp_path: Path) -> None:
    world = record(tmp_path, "reach_up", 4, 9, 6)
    record(tmp_path, "reach_left", 0)
    found = recorded_scenes(tmp_path, world)
    assert found == {"reach_up": 10, "reach_left": 1}
    assert recorded_scenes(tmp_path, "another world") == {}
    assert recorded_scenes(tmp_path / "nothing there", world) == {}
    scenes = Scenes()
    scenes.started("reach_up", 20)
    scenes.learn(found)
    assert (scenes.of("reach_up"), scenes.of("reach_left"), scenes.of("reach_down")) == (21, 1, 0)


def test_the_window_starts_the_scene_after_the_recorded_ones(
    make_window: Any, port: Any, qtbot: Any, tmp_path: Path
) -> None:
    record(tmp_path, "reach_up", 3)
    window = make_window(root=tmp_path)
    bar = window.drive.episode
    task = bar.chosen_task
    window.drive_actions.go_on_from({task: 12})
    assert bar.seed.value() == 12
    window.run("episode.start")
    assert port.of(StartEpisode)[0].seed == 12
    assert bar.next_scene == 13


def test_the_scene_that_runs_is_shown_and_then_the_next_one(make_window: Any) -> None:
    window = make_window()
    bar = window.drive.episode
    bar.seed.setValue(5)
    running = snapshot()
    window.take(dataclasses.replace(running, episode=dataclasses.replace(running.episode, seed=31)))
    assert (bar.seed.value(), bar.next_scene) == (31, 5)
    window.take(dataclasses.replace(resting(), episode=EpisodeStatus()))
    assert (bar.seed.value(), bar.next_scene) == (5, 5)


def test_another_task_has_its_own_count(make_window: Any) -> None:
    window = make_window()
    bar = window.drive.episode
    other = bar.task.itemData(1)
    window.drive_actions.go_on_from({other: 8})
    bar.task.setCurrentIndex(1)
    assert bar.next_scene == 8
    bar.task.setCurrentIndex(0)
    assert bar.next_scene == 0


def test_a_window_begins_with_the_last_task_or_the_worlds_example(make_window: Any, port: Any) -> None:
    world = dataclasses.replace(
        PointWorld().spec, tasks=("reach_up", "reach_left", "reach_down"), example_task="reach_left"
    )
    for last, chosen in (("", "reach_left"), ("reach_down", "reach_down"), ("of_another_world", "reach_left")):
        port.world_spec = None
        window = make_window()
        window.settings.values.last_task = last
        port.world_spec = world
        window.take(resting())
        assert window.drive.episode.chosen_task == chosen


def test_a_task_that_the_world_was_asked_for_goes_before_the_last(make_window: Any, port: Any) -> None:
    spec = dataclasses.replace(PointWorld().spec, tasks=("reach_up", "reach_left"), example_task="reach_left")
    # A world that takes a task by its words as well names it as its example.
    for asked, chosen in (("reach_up", "reach_up"), ("reach to the left", "reach_left")):
        port.world_spec = None
        window = make_window()
        window.settings.values.last_task = "reach_left" if asked == "reach_up" else "reach_up"
        port.world_spec = dataclasses.replace(spec, options={"task": asked})
        window.take(resting())
        assert window.drive.episode.chosen_task == chosen
