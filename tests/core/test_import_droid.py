"""DROID trajectories as people have them: what is missing is said, what is damaged is named, nothing is guessed in silence."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from frs_core.cli import main
from frs_core.episodes import Episode, EpisodeStore, JournalRecorder, recover, unfinished
from frs_core.episodes.export_droid import export_droid
from frs_core.episodes.import_droid import import_droid, import_droid_once
from frs_core.episodes.journal import JournalFile
from frs_core.episodes.layout import journal_dir
from frs_core.episodes.video import write_video
from frs_core.errors import EpisodeCorrupt, EpisodeError
from frs_core.events import Outcome
from frs_core.robot.actions import ActionKind
from tests.fakes.droid_trajectory import SERIALS, picture, write_trajectory

N = 24
Q = "observation/robot_state/joint_positions"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trajectory(tmp_path_factory.mktemp("droid") / "t", steps=N, skipped=(0, 10))


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "t"))


@pytest.fixture
def store(tmp_path: Path) -> EpisodeStore:
    return EpisodeStore(tmp_path / "data")


def edit(folder: Path, change: Callable[[Any], None]) -> None:
    with h5py.File(folder / "trajectory.h5", "a") as file:
        change(file)


def replace(file: Any, path: str, value: Any) -> None:
    del file[path]
    file[path] = value


def film(folder: Path, camera: str) -> Path:
    return folder / "recordings" / "MP4" / f"{SERIALS[camera]}.mp4"


def taken(folder: Path, store: EpisodeStore, **options: Any) -> tuple[Episode, str]:
    name = import_droid(folder, store, **options)
    episode = store.open(name)
    return episode, episode.info.note


def test_a_whole_trajectory_has_nothing_to_remark(folder, store) -> None:
    episode, note = taken(folder, store)
    assert (episode.n_steps, note) == (22, "Imported from DROID: t")


@pytest.mark.parametrize("has_svo", [False, True])
def test_a_trajectory_without_films_comes_without_pictures_and_says_so(folder, store, has_svo) -> None:
    shutil.rmtree(folder / "recordings")
    if has_svo:
        (folder / "recordings" / "SVO").mkdir(parents=True)
        for serial in SERIALS.values():
            (folder / "recordings" / "SVO" / f"{serial}.svo").write_bytes(b"SVO")
    episode, note = taken(folder, store)
    assert (episode.n_steps, episode.cameras) == (22, ())
    assert "no frames" in note
    assert f"no film of wrist ({SERIALS['wrist']})" in note
    assert ("SVO recording there: bin this episode, convert" in note) is has_svo


def test_the_sides_go_by_calibration_even_where_the_other_film_is_missing(folder, store) -> None:
    film(folder, "left").unlink()
    episode, note = taken(folder, store)
    assert episode.cameras == ("right", "wrist")
    assert episode.meta.world_options["serial_right"] == SERIALS["right"]
    assert f"no film of left ({SERIALS['left']})" in note


def test_one_calibrated_outer_camera_tells_its_own_side_and_the_other_is_called_a_guess(folder, store) -> None:
    edit(folder, lambda f: f.__delitem__(f"observation/camera_extrinsics/{SERIALS['left']}_left"))
    episode, note = taken(folder, store)
    assert episode.meta.world_options["serial_right"] == SERIALS["right"]
    assert f"{SERIALS['left']} is not calibrated: taken for left, a guess" in note


def test_sides_guessed_by_serial_number_are_said(folder, store) -> None:
    edit(folder, lambda f: f.__delitem__("observation/camera_extrinsics"))
    episode, note = taken(folder, store)
    assert episode.calibration("wrist", 0) is None
    assert f"sides guessed by serial number (left = {SERIALS['right']}, right = {SERIALS['left']})" in note


def test_without_camera_types_metadata_tells_and_else_cameras_keep_their_number(folder, store) -> None:
    edit(folder, lambda f: f.__delitem__("observation/camera_type"))
    episode, note = taken(folder, store)
    assert episode.cameras == tuple(f"camera_{s}" for s in sorted(SERIALS.values()))
    assert "neither wrist, left nor right" in note
    facts = {f"{k}_cam_serial": SERIALS[c] for k, c in (("wrist", "wrist"), ("ext1", "left"), ("ext2", "right"))}
    (folder / "metadata_x.json").write_text(json.dumps(facts))
    assert taken(folder, store)[0].cameras == ("left", "right", "wrist")


@pytest.mark.parametrize(("pictures", "has_stamps"), [(23, True), (23, False), (14, False)])
def test_rows_that_a_film_does_not_reach_are_left_out_and_counted(folder, store, pictures, has_stamps) -> None:
    write_video(film(folder, "left"), (picture("left", i) for i in range(pictures)), hz=60)
    if not has_stamps:
        film(folder, "left").with_name(f"{SERIALS['left']}_timestamps.json").unlink()
    episode, note = taken(folder, store)
    assert episode.n_steps == pictures - 2
    assert f"the film of left has no frames of {N - pictures} of {N} rows" in note
    last, before = (episode.frame("left", episode.n_steps - i) for i in (1, 2))
    assert np.abs(last.astype(int) - before).mean() > 2.0


def test_a_film_of_few_rows_is_refused_and_a_broken_one_named(folder, store) -> None:
    write_video(film(folder, "left"), (picture("left", i) for i in range(5)), hz=60)
    with pytest.raises(EpisodeError, match=r"frames of .* of 24 rows.*import without that camera"):
        import_droid(folder, store)
    film(folder, "left").write_bytes(b"")
    with pytest.raises(EpisodeError, match="not a readable film"):
        import_droid(folder, store)
    assert store.list() == []


@pytest.mark.parametrize("text", ['{"frames": [1]}', "[1, 2, ", "null", "[[1], [2]]"])
def test_unreadable_time_stamps_are_named_with_the_way_out(folder, store, text) -> None:
    path = film(folder, "left").with_name(f"{SERIALS['left']}_timestamps.json")
    path.write_text(text)
    with pytest.raises(EpisodeError, match=rf"{path.name}'.*remove that file to take image i"):
        import_droid(folder, store)


def test_time_stamps_of_another_clock_or_that_go_back_are_not_followed(folder, store) -> None:
    path = film(folder, "left").with_name(f"{SERIALS['left']}_timestamps.json")
    path.write_text(json.dumps(list(range(N))))
    assert "time stamps of left are of another time" in taken(folder, store)[1]
    path.write_text(json.dumps(list(range(N, 0, -1))))
    assert "time stamps of left go back: frame i for row i" in taken(folder, store)[1]


def test_images_without_time_stamps_go_by_number_which_is_said(folder, store) -> None:
    path = film(folder, "left").with_name(f"{SERIALS['left']}_timestamps.json")
    path.write_text("[]")
    assert "time stamps of left are an empty list: frame i for row i" in taken(folder, store)[1]
    path.unlink()
    assert f"no time stamps of left ('{path.name}' is missing): frame i for row i" in taken(folder, store)[1]


@pytest.mark.parametrize("name", ["trajectory.h5", "left"])
def test_a_pointer_of_git_lfs_is_called_one(folder, store, name) -> None:
    path = film(folder, name) if name == "left" else folder / name
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 7233000000\n")
    with pytest.raises(
        EpisodeError, match=r"is a Git LFS pointer, the file itself was not downloaded; run `git lfs pull`"
    ):
        import_droid(folder, store)


def test_columns_that_differ_by_a_row_are_cut_and_by_many_refused(folder, store) -> None:
    edit(folder, lambda f: replace(f, Q, f[Q][:-1]))
    episode, note = taken(folder, store)
    assert episode.n_steps == 21
    assert f"1 of {N} rows left out: '{Q}' ends there" in note
    edit(folder, lambda f: replace(f, Q, f[Q][:12]))
    with pytest.raises(EpisodeCorrupt, match=rf"'{Q}' has 12 rows, .* 24"):
        import_droid(folder, store)


def test_a_row_of_nan_is_left_out_by_name_and_no_chunk_runs_across_it(folder, store) -> None:
    edit(folder, lambda f: f[Q].__setitem__(5, np.nan))
    episode, note = taken(folder, store)
    assert f"1 row left out: '{Q}' is not a number in row 5" in note
    assert (episode.n_steps, [len(episode.steps_of(i)) for i in range(episode.n_chunks)]) == (21, [4, 8, 8, 1])
    edit(folder, lambda f: f["action/joint_velocity"].__setitem__(slice(3, 9), np.nan))
    with pytest.raises(EpisodeCorrupt, match="'action/joint_velocity' is not a number in row 3, 4"):
        import_droid(folder, store)


def test_joints_in_degrees_and_a_gripper_in_motor_steps_are_refused(folder, store) -> None:
    edit(folder, lambda f: f["observation/robot_state/gripper_position"].__setitem__(slice(None), 128.0))
    with pytest.raises(EpisodeError, match=r"measured gripper reaches 128, expected 0 .open. to 1"):
        import_droid(folder, store)
    edit(folder, lambda f: f[Q].__setitem__(slice(None), np.rad2deg(f[Q][:])))
    with pytest.raises(
        EpisodeError, match=r"trajectory.h5': the measured joint positions reach .*expected radians.*degrees"
    ):
        import_droid(folder, store)
    assert store.list() == []


@pytest.mark.parametrize(
    ("path", "factor", "words"),
    [
        ("action/joint_velocity", 300.0, r"joint velocities of the actions reach 30, expected .*0.2 rad per step"),
        (
            "observation/robot_state/joint_velocities",
            57.3,
            r"joint speeds reach 57.3, expected radians per second.*degrees",
        ),
        (
            f"observation/camera_extrinsics/{SERIALS['left']}_left",
            1e3,
            r"positions reach 600, expected metres.*millimetres",
        ),
        (f"observation/camera_extrinsics/{SERIALS['left']}_left", 6.0, r"angles reach 15.6, expected radians.*degrees"),
    ],
)
def test_numbers_too_large_for_their_unit_are_refused_with_the_unit(folder, store, path, factor, words) -> None:
    speeds = "observation/robot_state/joint_velocities"
    edit(folder, lambda f: replace(f, speeds, np.full((N, 7), 1.0)))
    edit(folder, lambda f: replace(f, path, f[path][()] * factor))
    with pytest.raises(EpisodeError, match=words):
        import_droid(folder, store)
    assert store.list() == []


def test_of_several_hand_cameras_none_is_the_wrist_unless_the_metadata_names_one(folder, store) -> None:
    path = f"observation/camera_type/{SERIALS['right']}"
    edit(folder, lambda f: replace(f, path, np.zeros(N)))
    episode, note = taken(folder, store)
    assert sorted(episode.cameras) == ["camera_11111111", "camera_33333333", "left"]
    assert "camera_type says 0 (hand) of 11111111, 33333333: wrist is none of them" in note
    (folder / "metadata_x.json").write_text(
        json.dumps({"wrist_cam_serial": SERIALS["wrist"], "ext1_cam_serial": SERIALS["right"]})
    )
    episode, note = taken(folder, store)
    assert sorted(episode.cameras) == ["camera_11111111", "left", "wrist"]
    assert "wrist is 33333333, as the metadata record says" in note
    assert "camera_type of 11111111 says 0, the metadata record calls it ext1: camera_type taken" in note


def test_cameras_that_stand_in_one_place_have_no_sides(folder, store) -> None:
    left, right = (f"observation/camera_extrinsics/{SERIALS[side]}_left" for side in ("left", "right"))
    edit(folder, lambda f: replace(f, right, f[left][()]))
    episode, note = taken(folder, store)
    assert sorted(episode.cameras) == ["camera_11111111", "camera_22222222", "wrist"]
    assert "put them in one place: neither left nor right" in note


def test_a_second_film_of_a_camera_is_said_to_be_unused(folder, store) -> None:
    left = film(folder, "left")
    shutil.copy(left, left.with_name(f"{left.stem}-stereo.mp4"))
    _, note = taken(folder, store)
    assert (
        "'recordings/MP4/22222222-stereo.mp4' is not used: 'recordings/MP4/22222222.mp4' is of the same camera" in note
    )


@pytest.mark.parametrize("factor", [2.0, 0.25])
def test_intrinsics_of_another_size_of_film_are_no_calibration(folder, store, factor) -> None:
    def scale(file: h5py.File) -> None:
        data = file[f"observation/camera_intrinsics/{SERIALS['left']}_left"]
        data[5:] = data[5:] * np.array([factor, factor, 1])[:, None]

    edit(folder, scale)
    episode, note = taken(folder, store)
    assert "left has no calibration in 19 of 24 rows: camera_intrinsics/22222222_left has its centre at" in note
    assert "this one has 320x180 pixels" in note
    known = [episode.calibration("left", int(step)) is not None for step in episode.main_steps]
    assert known == [True] * sum(known) + [False] * (len(known) - sum(known))
    assert 0 < sum(known) <= 5


def test_a_film_under_another_name_is_named_with_the_one_it_needs(folder, store) -> None:
    left = film(folder, "left")
    left.rename(left.with_name("22222222_left.mp4"))
    _, note = taken(folder, store)
    assert (
        "no film of left (22222222); 'recordings/MP4/22222222_left.mp4' is there: rename it 22222222.mp4 (or -stereo.mp4)"
        in note
    )


def test_films_are_found_whatever_the_case_of_their_suffix_and_folder(folder, store) -> None:
    for path in (folder / "recordings" / "MP4").glob("*.mp4"):
        path.rename(path.with_suffix(".Mp4"))
    (folder / "recordings" / "MP4").rename(folder / "recordings" / "mp4")
    (folder / "recordings").rename(folder / "Recordings")
    episode, note = taken(folder, store)
    assert len(episode.cameras) == 3
    assert "no film" not in note


def test_serials_that_are_no_names_are_spelled_out(folder, store) -> None:
    (folder / "metadata_x.json").write_text(json.dumps({"ext1_cam_serial": "/**\n*"}))
    assert r"no film of camera_/**\n* (/**\n*)" in taken(folder, store)[1]


def test_a_grippers_commands_in_millimetres_are_refused_and_those_far_outside_are_said(folder, store) -> None:
    fingers = "action/gripper_position"
    edit(folder, lambda f: f[fingers].__setitem__(slice(None), np.linspace(0.0, 85.0, N)))
    with pytest.raises(EpisodeError, match=r"gripper's action reaches 8\d.*millimetres"):
        import_droid(folder, store)
    edit(folder, lambda f: f[fingers].__setitem__(slice(None), np.where(np.arange(N) % 2, 1.0, -1.0)))
    _, note = taken(folder, store)
    assert re.search(rf"{fingers}: \d+ numbers outside 0 .open. to 1 .closed., from -1 to 1, clipped", note)
    edit(folder, lambda f: f[fingers].__setitem__(slice(None), np.linspace(-0.05, 1.04, N)))
    assert "clipped" not in taken(folder, store)[1]


def test_a_short_trajectory_may_lose_a_few_rows(folder, store) -> None:
    edit(folder, lambda f: f[Q].__setitem__(slice(13, 16), np.nan))
    episode, note = taken(folder, store)
    assert f"3 rows left out: '{Q}' is not a number in row 13, 14, 15" in note
    assert episode.n_steps == 19


def test_a_calibration_of_nan_is_no_calibration_and_named(folder, store) -> None:
    edit(folder, lambda f: f[f"observation/camera_extrinsics/{SERIALS['left']}_left"].__setitem__(slice(4, 7), np.nan))
    episode, note = taken(folder, store)
    assert episode.calibration("left", 4) is None
    assert episode.calibration("left", 8) is not None
    assert f"left has no calibration in 3 of {N} rows (camera_extrinsics/{SERIALS['left']}_left" in note
    assert "first in row 4" in note


def test_columns_that_older_versions_did_not_write_are_said_to_lack(folder, store) -> None:
    edit(folder, lambda f: [f.__delitem__(f"observation/timestamp/{k}") for k in ("skip_action", "control")])
    episode, note = taken(folder, store)
    assert episode.n_steps == N
    assert "no skip_action: every row taken" in note
    assert "no control time stamps: rows counted at 15 Hz" in note
    assert (np.diff(episode.arrays["steps/captured_ns"]) > 0).all()


def test_without_joint_velocities_joint_positions_are_taken_and_without_both_it_is_refused(folder, store) -> None:
    edit(folder, lambda f: f.__delitem__("action/joint_velocity"))
    episode, note = taken(folder, store)
    assert episode.meta.action_space.kind is ActionKind.JOINT_POSITION
    assert "no joint_velocity: actions are joint_position" in note
    edit(folder, lambda f: f.__delitem__("action/joint_position"))
    with pytest.raises(EpisodeCorrupt, match="has no dataset 'action/joint_velocity'"):
        import_droid(folder, store)


def test_a_clock_set_back_does_not_turn_time_around(folder, store) -> None:
    path = "observation/timestamp/control/step_start"
    edit(folder, lambda f: f[path].__setitem__(slice(12, N), f[path][12:] - 3_600_000))
    episode, note = taken(folder, store)
    assert (np.diff(episode.arrays["steps/captured_ns"]) > 0).all()
    assert "first at row 12" in note


@pytest.mark.parametrize(
    "value", ["False", "false", "0", "no", np.bytes_(b"False"), 0, np.bool_(False), np.array([False])]
)
def test_failure_is_read_in_every_spelling(folder, store, value) -> None:
    edit(folder, lambda f: f.attrs.__setitem__("success", value))
    assert taken(folder, store)[0].outcome is Outcome.FAILURE


def test_a_label_that_lacks_is_taken_from_metadata_then_folder_then_buttons(whole, folder, store, tmp_path) -> None:
    edit(folder, lambda f: f.attrs.__delitem__("success"))
    assert taken(folder, store)[0].outcome is Outcome.SUCCESS
    placed = shutil.copytree(folder, tmp_path / "failure" / "2023-04-20" / "t")
    assert taken(placed, store)[0].outcome is Outcome.FAILURE
    (placed / "metadata_x.json").write_text(json.dumps({"success": True, "current_task": "wipe"}))
    edit(placed, lambda f: f.attrs.__delitem__("current_task"))
    episode, _ = taken(placed, store)
    assert (episode.outcome, episode.meta.instruction) == (Outcome.SUCCESS, "wipe")


def test_labels_that_contradict_each_other_or_are_none_are_said(folder, store) -> None:
    buttons = "observation/controller_info"
    edit(folder, lambda f: (f.__delitem__(f"{buttons}/success"), f.__setitem__(f"{buttons}/failure", np.ones(N, bool))))
    episode, note = taken(folder, store)
    assert episode.outcome is Outcome.SUCCESS
    assert (
        "how it ended is contradictory (success by attribute success, failure by controller_info): taken for a success"
        in note
    )
    edit(folder, lambda f: f.__setitem__(f"{buttons}/success", np.ones(N, bool)))
    assert "controller_info says both success and failure: not used" in taken(folder, store)[1]
    edit(folder, lambda f: (f.attrs.__setitem__("success", "maybe\n"), f.attrs.__setitem__("failure", "2")))
    with pytest.raises(
        EpisodeError,
        match=r"does not say whether it succeeded \(attribute success says 'maybe', which is neither .*'2'.*",
    ):
        import_droid(folder, store)


def test_a_label_that_nothing_states_is_asked_for(folder, store) -> None:
    edit(folder, lambda f: (f.attrs.__delitem__("success"), f.__delitem__("observation/controller_info")))
    with pytest.raises(EpisodeError, match="--outcome"):
        import_droid(folder, store)
    assert taken(folder, store, outcome=Outcome.FAILURE)[0].outcome is Outcome.FAILURE


@pytest.mark.parametrize(
    "value",
    ["把杯子放进抽屉 ☕️", np.bytes_("把杯子放进抽屉 ☕️".encode()), np.array(["把杯子放进抽屉 ☕️"], dtype=object)],
)
def test_an_instruction_is_read_as_text_or_bytes(folder, store, value) -> None:
    edit(folder, lambda f: f.attrs.__setitem__("current_task", value))
    assert taken(folder, store)[0].meta.instruction == "把杯子放进抽屉 ☕️"


def test_a_trajectory_is_imported_once_unless_it_is_asked_for_again(folder, store, capsys) -> None:
    def run(*words: str) -> str:
        with pytest.raises(SystemExit) as exit_:
            main(["episodes", "import", str(folder), "--format", "droid", "--data", str(store.root), *words])
        assert exit_.value.code == 0
        return capsys.readouterr().out

    (first,) = import_droid_once(folder, store).names
    moved = folder.rename(folder.with_name("renamed"))
    assert import_droid_once(moved, store).earlier == (first,)
    moved.rename(folder)
    assert f"Left out 1 recording imported before, as {first}. --again imports it once more." in run()
    first_outcome = store.info(first).outcome.value
    assert "was not used" not in run("--outcome", first_outcome)
    other = "failure" if first_outcome == "success" else "success"
    said = run("--outcome", other, "--instruction", "something else")
    assert "--outcome was not used for 1 of them: `frs episodes relabel` changes it." in said
    assert "--instruction was not used for 1 of them: --again imports with it." in said
    assert store.info(first).outcome.value == first_outcome
    store.bin(first)
    assert f"as {first} (it is in the bin)." in run()
    assert store.list() == []
    assert "Made episode" in run("--again")
    edit(folder, lambda f: f.attrs.__setitem__("current_task", "another"))
    assert "Made episode" in run()
    assert len(store.list()) == 2


def test_a_trajectory_whose_import_was_killed_is_imported_whole_and_what_is_left_is_named(
    folder, store, monkeypatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        # A killed process tidies nothing up.
        patch.setattr(JournalRecorder, "end", killed)
        patch.setattr(JournalRecorder, "drop", JournalRecorder.abort)
        with pytest.raises(KeyboardInterrupt):
            import_droid(folder, store)
    (left,) = unfinished(store)
    _, note = taken(folder, store)
    assert (
        f"an earlier import of it was cut off and left {left.name}: bin that one with `frs episodes recover {left.name} --bin`"
        in note
    )
    recover(store, left.name)
    (whole,) = import_droid_once(folder, store).earlier
    assert whole != left.name
    assert f"bin that one with `frs episodes bin {left.name}`" in taken(folder, store)[1]


def test_a_column_without_rows_is_named_with_the_number_that_others_have(folder, store) -> None:
    edit(folder, lambda f: replace(f, Q, np.zeros((0, 7))))
    with pytest.raises(EpisodeCorrupt, match=f"'{Q}' has 0 rows, .* {N}"):
        import_droid(folder, store)


def test_bytes_that_rot_in_the_lists_of_a_trajectory_are_refused_with_the_place(folder, store) -> None:
    path = folder / "trajectory.h5"
    whole = path.read_bytes()
    for mark in (b"SNOD", b"HEAP", b"TREE"):
        # Lists of names, the names, and what leads to the lists; the first is of the root.
        for at in (m.start() for m in re.finditer(mark, whole)):
            path.write_bytes(whole[:at] + b"ROT!" + whole[at + 4 :])
            with pytest.raises(EpisodeCorrupt, match=r"trajectory.h5.*HDF5.*Put a whole copy"):
                import_droid(folder, store)
    assert store.list() == []


def test_frames_beyond_the_time_stamps_are_counted(folder, store) -> None:
    write_video(film(folder, "left"), (picture("left", i) for i in range(N + 5)), hz=60)
    assert f"the film of left has {N + 5} frames for {N} time stamps: the last 5 left out" in taken(folder, store)[1]


def test_links_within_a_trajectory_are_followed_and_to_other_files_refused(folder, store) -> None:
    def link(file: Any) -> None:
        file.move(Q, "kept/q")
        file["kept/near"] = h5py.SoftLink("q")
        file[Q] = h5py.SoftLink("/kept/./near")

    edit(folder, link)
    assert taken(folder, store)[0].n_steps == 22
    edit(folder, lambda f: replace(f, Q, h5py.ExternalLink("other.h5", "/q")))
    with pytest.raises(EpisodeCorrupt, match=f"'{Q}' is behind a link to another file, which is not followed"):
        import_droid(folder, store)
    edit(folder, lambda f: replace(f, Q, h5py.SoftLink(f"/{Q}")))
    with pytest.raises(EpisodeCorrupt, match=f"'{Q}' is behind more than 16 links"):
        import_droid(folder, store)
    edit(folder, lambda f: replace(f, Q, h5py.SoftLink("/nowhere/q")))
    with pytest.raises(EpisodeCorrupt, match=f"has no dataset '{Q}'"):
        import_droid(folder, store)


def test_an_instruction_can_be_given_and_its_lack_is_said(folder, store, capsys) -> None:
    edit(folder, lambda f: f.attrs.__delitem__("current_task"))
    with pytest.raises(SystemExit) as exit_:
        main(["episodes", "import", str(folder), "--format", "droid", "--data", str(store.root)])
    assert exit_.value.code == 0
    assert (
        "no instruction is stated: bin this episode and import again with --instruction TEXT --again"
        in capsys.readouterr().out
    )
    words = [
        "--format",
        "droid",
        "--data",
        str(store.root),
        "--instruction",
        "open it",
        "--outcome",
        "failure",
        "--again",
    ]
    with pytest.raises(SystemExit):
        main(["episodes", "import", str(folder), *words])
    last = store.open(store.find("last"))
    assert (last.meta.instruction, last.outcome) == ("open it", Outcome.FAILURE)


@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_a_full_disk_leaves_nothing_of_an_import(folder, store, monkeypatch, fails_at) -> None:
    real, calls = JournalFile.append, []

    def append(journal: JournalFile, framed: bytes) -> None:
        calls.append(1)
        if len(calls) >= fails_at:
            raise OSError(28, "No space left on device")
        real(journal, framed)

    monkeypatch.setattr(JournalFile, "append", append)
    with pytest.raises(EpisodeError, match="No space"):
        import_droid(folder, store)
    assert (store.list(), store.list(binned=True), list(journal_dir(store.root).iterdir())) == ([], [], [])


def run(capsys: pytest.CaptureFixture[str], folder: Path, store: EpisodeStore, *words: str) -> tuple[int, str]:
    """Run the import as a command and return its status and what it said."""
    with pytest.raises(SystemExit) as exit_:
        main(["episodes", "import", str(folder), "--format", "droid", "--data", str(store.root), *words])
    assert isinstance(exit_.value.code, int)
    said = capsys.readouterr()
    return exit_.value.code, " ".join((said.out + said.err).split())


def test_all_trajectories_below_a_folder_are_imported_and_a_broken_one_is_said(folder, store, tmp_path, capsys) -> None:
    with pytest.raises(EpisodeError, match="of which 1 lies below it"):
        import_droid(folder.parent, store)
    day = tmp_path / "success" / "2023-04-20"
    for i in range(3):
        shutil.copytree(folder, day / f"t{i}")
        edit(day / f"t{i}", lambda f, i=i: f.attrs.__setitem__("current_task", f"task {i}"))
    whole = (day / "t1" / "trajectory.h5").read_bytes()
    (day / "t1" / "trajectory.h5").write_bytes(whole[:100])
    code, said = run(capsys, day, store)
    assert (code, [store.open(i.name).meta.instruction for i in store.list()]) == (1, ["task 0", "task 2"])
    assert "✗ 't1' '" in said
    (day / "t1" / "trajectory.h5").write_bytes(whole)
    code, said = run(capsys, day, store)
    assert (code, len(store.list())) == (0, 3)
    assert "Left out 2 recordings" in said
    assert run(capsys, tmp_path / "nothing", store)[0] == 2


def test_which_actions_are_taken_may_be_said_and_is_not_ignored_later(folder, store, capsys) -> None:
    assert run(capsys, folder, store, "--actions", "joint_position", "--arm", "franka")[0] == 0
    assert store.open(store.find("last")).meta.action_space.kind is ActionKind.JOINT_POSITION
    _, said = run(capsys, folder, store, "--actions", "joint_velocity")
    assert "--actions was not used for 1 of them: --again imports with it." in said
    assert "was not used" not in run(capsys, folder, store, "--actions", "joint_position")[1]


def test_commanded_positions_come_back_as_such_and_velocities_computed_from_them_are_said(
    folder, store, tmp_path
) -> None:
    edit(folder, lambda f: replace(f, "action/joint_position", f[Q][()] + 0.5))
    positions, _ = taken(folder, store, actions=ActionKind.JOINT_POSITION)
    out = export_droid(positions, tmp_path / "out")
    again, note = taken(out, store)
    assert again.meta.action_space.kind is ActionKind.JOINT_POSITION
    np.testing.assert_allclose(again.arrays["steps/action_sent"], positions.arrays["steps/action_sent"], atol=1e-6)
    assert note == f"Imported from DROID: {out.name}"
    edit(out, lambda f: f.attrs.__delitem__("action_space"))
    velocities, note = taken(out, store)
    assert velocities.meta.action_space.kind is ActionKind.JOINT_VELOCITY
    assert "joint velocities reach 2.5, and DROID commands none beyond 1" in note
    assert "import with --actions joint_position --again" in note
    edit(out, lambda f: f.attrs.__setitem__("action_space", "torque"))
    assert "action_space says 'torque', which is not read" in taken(out, store)[1]


@pytest.mark.parametrize("has_stamps", [False, True])
def test_a_film_of_many_more_frames_than_rows_is_refused(folder, store, has_stamps) -> None:
    write_video(film(folder, "left"), (picture("left", i // 4) for i in range(4 * N)), hz=60)
    if not has_stamps:
        film(folder, "left").with_name(f"{SERIALS['left']}_timestamps.json").unlink()
    with pytest.raises(EpisodeError, match=r"has 96 frames for 24 .* is not stated: .*import without that camera"):
        import_droid(folder, store)
    assert store.list() == []
    film(folder, "left").unlink()
    assert len(taken(folder, store)[0].cameras) == 2


def test_a_beginning_without_a_time_zone_is_said_to_be_taken_for_utc(folder, store) -> None:
    assert "time zone" not in taken(folder, store)[1]
    edit(folder, lambda f: f.__delitem__("observation/timestamp/control"))
    assert "its beginning is stated without a time zone: taken for UTC" in taken(folder, store)[1]


def test_a_gripper_that_may_be_in_metres_is_said(folder, store) -> None:
    path = "observation/robot_state/gripper_position"
    edit(folder, lambda f: replace(f, path, 0.085 * f[path][()]))
    assert f"{path}: no number is above 0.085, read as shares from 0 (open)" in taken(folder, store)[1]
