"""The commands run the whole workflow from a terminal and say what they did."""

import os
import signal
from pathlib import Path

import pytest
import tyro

from frs_core.cli import main
from frs_core.commands import demo as demo_commands
from frs_core.commands import eval as eval_commands
from frs_core.commands import practise as practise_commands
from frs_core.commands import train as train_commands
from frs_core.commands import vlm as vlm_commands
from frs_core.errors import ConfigError, TrainingError
from frs_core.evaluation import repeats, runner
from frs_core.learning import (
    DsbcSettings,
    FitSettings,
    JobState,
    NetworkSettings,
    Practice,
    Progress,
    TrainJob,
    TrainRequest,
    TrainResult,
)
from frs_core.learning.registry import KNOWN, find_learner
from tests.fakes.evaluation import TASK, HerePool

WORLD, POLICY = "tests.fakes.world:PointWorld", "tests.fakes.policy:ToyPolicy"
OPERATOR = "tests.fakes.operator:PointOperator"
SMALL = DsbcSettings(network=NetworkSettings(hidden=32, layers=2), fit=FitSettings(steps=40, batch_size=16))


def test_collect_train_show_and_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    code = eval_commands.collect(
        TASK, episodes=3, data=data, world=WORLD, policy=POLICY, scripted_operator=OPERATOR, max_chunks=6, first_seed=3
    )
    assert code == 0
    assert "3 episodes" in capsys.readouterr().out
    assert train_commands.command("dsbc")(task=TASK, data=data, settings=SMALL) == 0
    said = capsys.readouterr().out
    assert "from 3 episodes" in said
    assert (data / "learned" / TASK / "dsbc" / "policy.json").is_file()
    assert train_commands.list_policies(data=data) == 0
    assert f"{TASK}/dsbc" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="already exists"):
        train_commands.command("dsbc")(task=TASK, data=data, settings=SMALL)
    with pytest.raises(TrainingError, match=rf"of task 'nope' in .*, whose tasks are: {TASK}\."):
        train_commands.command("dsbc")(task="nope", data=data, settings=SMALL)


def test_training_on_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="No episodes were given"):
        train_commands.command("dsbc")()


def test_evaluation_writes_table_and_plot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code = eval_commands.evaluate(
        methods=("base",), tasks=(TASK,), seeds=2, out=tmp_path, world=WORLD, policy=POLICY, max_chunks=3, workers=1
    )
    assert code == 0
    assert "n = 2" in capsys.readouterr().out
    assert {p.name for p in tmp_path.iterdir()} == {"results.jsonl", "table.md", "table.json", "success.png"}
    (tmp_path / "table.md").unlink()
    assert eval_commands.show(tmp_path) == 0
    assert "Base policy" in (tmp_path / "table.md").read_text()


def test_repeats_collect_train_judge_and_tell_the_spread(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (repeats, runner):
        monkeypatch.setattr(module, "ProcessPool", lambda job, *, workers, cell_timeout_s=0.0: HerePool(job))
    options = {
        "tasks": (TASK,),
        "out": tmp_path,
        "world": WORLD,
        "policy": POLICY,
        "scripted_operator": OPERATOR,
        "workers": 1,
    }
    code = eval_commands.evaluate(methods=("frs", "dsbc"), repeats=1, episodes=(1,), seeds=1, max_chunks=6, **options)
    assert code == 0
    said = capsys.readouterr().out
    assert "episodes recorded: 1 of 1" in said
    assert "episodes tested: 2 of 2" in said
    (tmp_path / "table.md").unlink()
    assert eval_commands.show(tmp_path) == 0
    assert "| DSBC, 1 episode | reach_left |" in (tmp_path / "table.md").read_text()
    assert (tmp_path / "success.png").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repeats": 2, "first_seed": 5}, "--first-seed cannot be combined with --repeats"),
        ({"repeats": 2, "learned": Path("x")}, "--learned cannot be combined with --repeats"),
        ({"train_seeds": 2}, "--train-seeds needs --repeats"),
        ({"episodes": (3,)}, "--episodes needs --repeats"),
        (
            {"methods": ("frs",), "repeats": 2, "operator_noise": 0.3},
            "--operator-noise cannot be combined with --repeats",
        ),
    ],
)
def test_options_that_do_not_go_together_are_named(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        eval_commands.evaluate(**{"methods": ("dsbc",), "tasks": (TASK,), "out": tmp_path, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options", [{"methods": ("base",)}, {"methods": ("dsbc",)}, {"methods": ("dsbc",), "repeats": 1}]
)
def test_an_evaluation_of_an_unknown_task_names_the_tasks_and_runs_nothing(
    tmp_path: Path, options: dict[str, object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in (repeats, runner):
        monkeypatch.setattr(module, "ProcessPool", lambda job, *, workers, cell_timeout_s=0.0: HerePool(job))
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match=r"Unknown task 'nope'\. Known: .*reach_left"):
        eval_commands.evaluate(
            tasks=(TASK, "nope"), seeds=1, out=out, world=WORLD, policy=POLICY, scripted_operator=OPERATOR, **options
        )
    assert not out.exists()
    assert capsys.readouterr().out == ""


def test_every_other_command_refuses_an_unknown_task_before_it_writes(tmp_path: Path) -> None:
    options = {"world": WORLD, "policy": POLICY}
    data = tmp_path / "data"
    practice = Practice(world=WORLD)
    for call in (
        lambda: eval_commands.collect("nope", data=data, scripted_operator=OPERATOR, **options),
        lambda: demo_commands.demo(task="nope", out=data, scripted_operator=OPERATOR, **options),
        lambda: practise_commands.command("pick-q")(task="nope", data=data, policy=POLICY, practice=practice),
        lambda: practise_commands.command("dsrl")(task="nope", data=data, policy=POLICY, practice=practice),
    ):
        with pytest.raises(ConfigError, match=r"Unknown task 'nope'\. Known: .*reach_left"):
            call()
    assert not data.exists()


@pytest.mark.parametrize(
    "command",
    [
        *(train_commands.command(kind) for kind in KNOWN),
        *(practise_commands.command(kind) for kind, row in KNOWN.items() if row.practises),
        train_commands.list_policies,
        eval_commands.evaluate,
        eval_commands.collect,
        demo_commands.demo,
        vlm_commands.judge,
        eval_commands.show,
    ],
)
def test_every_command_explains_itself(command: object, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        tyro.cli(command, args=["--help"])  # type: ignore[arg-type]
    assert ended.value.code == 0
    assert len(capsys.readouterr().out) > 200


def test_the_demo_writes_the_whole_workflow_on_one_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = demo_commands.demo(
        task=TASK,
        episodes=3,
        trials=1,
        out=tmp_path / "demo",
        world=WORLD,
        policy=POLICY,
        scripted_operator=OPERATOR,
        max_chunks=6,
        workers=1,
    )
    assert code == 0
    page = (tmp_path / "demo" / "report.html").read_text()
    assert "FRS, calibrated" in page
    assert page.count("data:video/mp4") == 4
    assert page.count("data:image/jpeg") >= 6
    assert str(tmp_path / "demo" / "report.html") in capsys.readouterr().out


def test_a_world_without_a_demo_task_asks_for_one() -> None:
    with pytest.raises(ConfigError, match="Name one with --task"):
        demo_commands.demo(world=WORLD)


def test_an_operator_that_takes_no_world_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be made from a world"):
        eval_commands.collect(
            TASK,
            data=tmp_path,
            world=WORLD,
            policy=POLICY,
            scripted_operator="frs_core.choosers.scripted:PolicyChooser",
        )


def test_a_world_without_an_operator_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no scripted operator"):
        eval_commands.collect(TASK, data=tmp_path, world=WORLD, policy=POLICY)
    with pytest.raises(ConfigError, match="has no scripted demonstrator"):
        eval_commands.collect(TASK, data=tmp_path, world=WORLD, policy=POLICY, demonstrations=True)


def test_sigterm_keeps_the_best_so_far_as_ctrl_c_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Job(TrainJob):
        state = JobState.RUNNING
        is_closed = False

        def __init__(self, *_: object, **__: object) -> None:
            jobs.append(self)

        def start(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM if jobs[1:] else 0)

        def poll(self) -> tuple[Progress, ...]:
            os.kill(os.getpid(), signal.SIGTERM)
            return ()

        def cancel(self) -> None:
            self.state = JobState.DONE

        def wait(self, timeout_s: float | None = None) -> TrainResult:
            raise TrainingError("the best so far")

        def close(self) -> None:
            self.is_closed = True

    jobs = list[Job]()
    monkeypatch.setattr(train_commands, "TrainJob", Job)
    before = signal.getsignal(signal.SIGTERM)
    row = find_learner("bc-flow")
    request = TrainRequest(
        kind=row.id, root=tmp_path, episodes=(), out=tmp_path / "x", fingerprint="", task="t", settings=row.settings()
    )
    with pytest.raises(TrainingError, match="the best so far"):
        train_commands._train(request)
    with pytest.raises(KeyboardInterrupt):
        train_commands._train(request)
    assert all(job.is_closed for job in jobs)
    assert signal.getsignal(signal.SIGTERM) is before


def test_practising_from_a_recording_folder_that_is_not_there_says_so(tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["practise", "pick-q", "--task", "can_on_plate", "--data", str(tmp_path / "none")])
    assert ended.value.code == 2
    assert f"The recording folder '{tmp_path / 'none'}' does not exist" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
