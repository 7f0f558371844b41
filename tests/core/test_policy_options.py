"""The options of a policy reach every process that loads it, are stored with what it did, and are named where they are wrong."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from app.views.train.compare import compare
from frs_core import cli
from frs_core.episodes import EpisodeStore
from frs_core.errors import ConfigError
from frs_core.evaluation.arena import setup_of
from frs_core.evaluation.results import check_conditions
from frs_core.evaluation.setup import SetupSpec
from frs_core.evaluation.worker import WorkerJob
from frs_core.learning import Practice, TrainRequest
from frs_core.learning.practice_folder import CONDITIONS
from frs_core.learning.practice_log import PracticeLog
from frs_core.learning.practice_record import read_practice, request_of
from frs_core.policies import NamedPolicy, load_policy
from frs_core.runtime.registry import with_flags
from tests.fakes.pi05 import make_checkpoint
from tests.fakes.policy import ToyPolicy

TOY = "tests.fakes.policy:ToyPolicy"
WORLD = "tests.fakes.world:PointWorld"
OPERATOR = "tests.fakes.operator:PointOperator"
PLUGIN = Path(__file__).parents[2] / "examples" / "plugin"


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(words))
    return ended.value.code if isinstance(ended.value.code, int) else 0


def test_an_evaluation_in_other_processes_is_of_the_options_and_refuses_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(PLUGIN))
    words = ["eval", "--world", "frs_toy.world:HoverWorld", "--policy", "frs_toy.policy:DriftPolicy", "--workers", "1"]
    words += ["--methods", "base", "--tasks", "go_left", "--seeds", "1", "--max-chunks", "2", "--out", str(tmp_path)]
    assert run(*words, "--policy-options", "speed", "0.7") == 0
    head = json.loads((tmp_path / "results.jsonl").read_text().splitlines()[0])
    assert head["policy_fingerprint"] == "drift-0.7"
    assert head["conditions"]["setup"]["policy_options"] == {"speed": 0.7}
    asked = SetupSpec.from_json(head["conditions"]["setup"])
    other = replace(asked, policy=replace(asked.policy, options={"speed": 0.2}))
    with pytest.raises(ConfigError, match=r"made under other conditions: setup .*'speed': 0\.7.*'speed': 0\.2"):
        check_conditions(tmp_path / "results.jsonl", {**head["conditions"], "setup": other.to_json()})


def takes_anything(**_: object) -> ToyPolicy:
    return ToyPolicy()


def test_an_option_that_a_recording_cannot_keep_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'home' of policy .* is of type dict, which a recording cannot keep"):
        load_policy(f"{__name__}:takes_anything", home={})


def test_collected_episodes_keep_the_options_and_are_checked_with_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--world", WORLD, "--policy", TOY, "--scripted-operator", OPERATOR, "--data", str(tmp_path)]
    assert run("collect", "reach_left", *words, "--episodes", "1", "--policy-options", "fingerprint", "toy-2") == 0
    store = EpisodeStore(tmp_path)
    (name,) = (info.name for info in store.list())
    meta = store.open(name).meta
    assert (meta.policy_fingerprint, dict(meta.policy_options)) == ("toy-2", {"fingerprint": "toy-2"})
    capsys.readouterr()
    assert run("episodes", "show", "last", "--data", str(tmp_path)) == 0
    assert "· fingerprint toy-2 ·" in " ".join(capsys.readouterr().out.split())
    # Texts may be files and addresses, so they are taken from the command line only; --policy alone is that policy without options.
    assert run("episodes", "check", "--data", str(tmp_path), "--policy", TOY) == 1
    assert "It was recorded with --policy-options fingerprint toy-2" in " ".join(capsys.readouterr().out.split())
    asked = ["episodes", "check", "--data", str(tmp_path), "--policy", TOY, "--policy-options", "fingerprint", "toy-2"]
    assert run(*asked) == 0


def test_a_checkpoint_is_evaluated_by_its_path(tmp_path: Path) -> None:
    folder, out = make_checkpoint(tmp_path), tmp_path / "out"
    words = [
        "eval",
        "--world",
        WORLD,
        "--methods",
        "base",
        "--tasks",
        "reach_left",
        "--seeds",
        "1",
        "--max-chunks",
        "1",
    ]
    words += ["--policy", "pi05", "--policy-options", "path", str(folder), "device", "cpu"]
    assert run(*words, "--workers", "1", "--out", str(out)) == 0
    head, result = (json.loads(line) for line in (out / "results.jsonl").read_text().splitlines())
    assert head["conditions"]["setup"]["policy_options"] == {"path": str(folder), "device": "cpu"}
    assert not result["error"]


def test_a_checkpoint_is_the_same_after_a_trip_to_another_process(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path)
    named = NamedPolicy("pi05", {"path": str(folder), "device": "cpu"})
    spec = SetupSpec.from_json(json.loads(json.dumps(SetupSpec(policy=named).to_json())))
    assert spec.policy == named
    policy = spec.policy.load()
    assert policy.options == {"path": str(folder), "device": "cpu"}
    policy.close()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "The policy 'pi05' needs option 'path', which was not given. Its options: path (required), preset"),
        (
            ["--policy-options", "pth", "x"],
            "The policy 'pi05' has no option 'pth'. Its options: path (required), preset",
        ),
    ],
)
@pytest.mark.parametrize(
    "words",
    [
        ["eval", "--methods", "base", "--tasks", "reach_left", "--world", WORLD, "--workers", "1"],
        ["collect", "reach_left", "--world", WORLD],
        ["policy", "calibrate", "--world", WORLD],
        ["serve"],
    ],
    ids=lambda words: words[0],
)
def test_a_wrong_option_is_answered_with_the_policys_options(
    words: list[str], options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = {"eval": ["--out", str(tmp_path)], "collect": ["--data", str(tmp_path)]}.get(words[0], [])
    assert run(*words, *out, "--policy", "pi05", *options) == 2
    heard = capsys.readouterr().err
    assert said in heard
    assert ("Did you mean 'path'?" in heard) is bool(options)


@pytest.mark.parametrize(
    "words",
    [
        ["cockpit"],
        ["eval"],
        ["collect"],
        ["demo"],
        ["practise", "pick-q"],
        ["train", "offline-dsbc"],
        ["policy", "calibrate"],
        ["serve"],
        ["episodes", "check"],
    ],
    ids=" ".join,
)
def test_every_command_that_names_a_policy_takes_its_options_and_lists_the_known_ones(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words, "--help") == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--policy-options" in text
    assert "tabletop, libero, pi05, remote, lerobot, one of an installed package" in text
    if "--world " in text or "--practice.world " in text:
        assert "tabletop, droid, libero, one of an installed package" in text
        assert "setting -1" not in text


def request(tmp_path: Path, **options: str | float) -> TrainRequest:
    return TrainRequest(
        kind="pick-q",
        root=tmp_path,
        episodes=(),
        out=tmp_path / "out",
        fingerprint="",
        task="reach_left",
        policy=NamedPolicy(TOY, options),
        practice=Practice(world=WORLD, world_options={"token": "t0p"}),
    )


def test_a_practice_of_other_options_is_refused_and_no_secret_is_stored(tmp_path: Path) -> None:
    folder = tmp_path / "practice"
    asked = request(tmp_path, speed=0.5, token="s3cret")
    PracticeLog(folder, asked, None)
    stored = (folder / CONDITIONS).read_text()
    assert "s3cret" not in stored
    assert "t0p" not in stored
    PracticeLog(folder, asked, None)
    with pytest.raises(ConfigError, match=r"its policy_options speed was 0\.5, asked for 0\.6"):
        PracticeLog(folder, request(tmp_path, speed=0.6), None)
    record = read_practice(folder)
    assert record.policy == NamedPolicy(TOY, {"speed": 0.5})
    more = request_of(record, root=tmp_path, out=tmp_path / "out", policy=asked.policy)
    assert more.policy == asked.policy
    other = request_of(record, root=tmp_path, out=tmp_path / "out", policy=NamedPolicy(TOY, {"speed": 0.1}))
    assert other.policy == record.policy


def test_a_practice_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "practice"
    PracticeLog(folder, request(tmp_path), None)
    conditions = json.loads((folder / CONDITIONS).read_text())
    del conditions["policy_options"]
    (folder / CONDITIONS).write_text(json.dumps(conditions))
    PracticeLog(folder, request(tmp_path), None)
    assert not read_practice(folder).has_policy_options


def test_actors_load_the_policy_with_options_and_action_space(tmp_path: Path) -> None:
    asked = request(tmp_path, speed=0.5)
    assert asked.practice is not None
    asked = replace(asked, practice=replace(asked.practice, action_space="joint_velocity"))
    assert setup_of(asked).policy == NamedPolicy(TOY, {"speed": 0.5}, "joint_velocity")


def test_no_secret_of_a_setup_is_stored_with_results() -> None:
    setup = SetupSpec(WORLD, {"password": "a", "size": 3}, NamedPolicy(TOY, {"token": "b", "speed": 0.5})).to_json()
    kept = WorkerJob(setup).conditions["setup"]
    assert (kept["world_options"], kept["policy_options"]) == ({"size": 3}, {"speed": 0.5})


def test_an_option_given_twice_is_refused() -> None:
    assert with_flags({"horizon": "8"}, {"path": "x", "device": None}) == {"horizon": 8, "path": "x"}
    with pytest.raises(ConfigError, match=r"'norm_stats' is given twice, by --norm-stats"):
        with_flags({"norm_stats": "a"}, {"norm_stats": "b"})


def test_the_windows_comparison_is_of_the_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs: list[WorkerJob] = []
    monkeypatch.setattr("frs_core.evaluation.runner.run_evaluation", lambda spec, *_, **__: jobs.append(spec.job))
    compare(
        tmp_path,
        method="dsbc",
        world=WORLD,
        world_options={},
        policy=NamedPolicy(TOY, {"fingerprint": "toy-2"}),
        task="reach_left",
        episodes=1,
        report=lambda report: None,
        is_stopped=lambda: False,
    )
    assert SetupSpec.from_json(jobs[0].setup).policy == NamedPolicy(TOY, {"fingerprint": "toy-2"})
