"""The command table: every row exists, explains itself, and bad words get a sentence."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

from frs_core import cli
from frs_core.commands.config_file import with_config
from frs_core.commands.options import require_known
from frs_core.errors import ConfigError
from frs_core.learning.base import Need
from frs_core.learning.registry import KNOWN


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_command_exists_and_has_help_for_each_option(name: str) -> None:
    module, function = cli.COMMANDS[name][0].split(":")
    found = getattr(importlib.import_module(module), function)
    text = inspect.getdoc(found) or ""

    assert text
    for option in inspect.signature(found).parameters:
        assert f"{option}:" in text, f"{name}: option '{option}' has no line of help"


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    text = capsys.readouterr().out

    assert stop.value.code == 0
    assert all(name in text for name in cli.COMMANDS)


def test_every_command_is_listed_and_suggested_where_one_is_mistyped(capsys: pytest.CaptureFixture[str]) -> None:
    for name in {command.split()[0] for command in cli.commands()} - {"cockpit"}:
        with pytest.raises(SystemExit):
            cli.main([f"{name}x"])
        said = capsys.readouterr().err
        assert f"Did you mean '{name}'" in said
        assert "practise" in said.partition("Did you mean")[0]


def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["evla"])

    assert stop.value.code == 2
    assert "Did you mean 'eval'" in capsys.readouterr().err


def test_choices_are_written_small(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["train", "dsbc", "--help"])
    assert "{mse,nll,flow}" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["collect"], ["episodes", "check"]])
def test_help_calls_nothing_a_default(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main([*words, "--help"])
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "(optional)" in said
    assert "(default: None)" not in said
    assert "(default: )" not in said


@pytest.mark.parametrize("words", [["--presett", "x", "FOLDER"], ["FOLDER", "--presett=x"], ["--quick", "--presett"]])
def test_an_unknown_option_is_named_wherever_it_stands(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["policy", "check", *words])
    said = capsys.readouterr().err
    assert stop.value.code == 2
    assert said.startswith("frs: Unknown option '--presett'. Known: --cameras,")
    assert said.endswith("Did you mean '--preset'?\n")


@pytest.mark.parametrize("name", [*cli.COMMANDS, "train dsbc", "practise pick-q"])
def test_no_option_of_a_commands_help_is_unknown(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    function = cli._function(name)
    with pytest.raises(SystemExit):
        cli.main([*name.split(), "--help"])
    options = re.findall(r"(?<![\w-])--[a-z][\w.-]*", capsys.readouterr().out)
    assert "--help" in options
    own = [option for option in options if option != "--config"]
    require_known(own, function)
    for option in own:
        require_known([option.replace("-", "_").replace("__", "--", 1)], function)
    with pytest.raises(ConfigError, match="Unknown option '--nothing-of-this'"):
        require_known(["--nothing-of-this"], function)
    require_known(["--", "--nothing-of-this"], function)


def configured(name: str, *words: str) -> list[str]:
    return with_config(name, list(words), cli._function(name), cli.commands)


def test_a_file_gives_defaults_and_the_command_line_wins(tmp_path: Path) -> None:
    file = tmp_path / "lab.toml"
    file.write_text('[train.dsbc]\ntask = "a"\ncount = 3\noverwrite = true\n[train.dsbc.settings.fit]\nseed = 2\n')

    words = configured("train dsbc", "--config", str(file), "--task", "b")

    assert words == ["--task", "a", "--count", "3", "--overwrite", "--settings.fit.seed", "2", "--task", "b"]


@pytest.mark.parametrize(("text", "complaint"), [(None, "cannot be read"), ("a = [", "not valid TOML")])
def test_a_bad_file_is_named(
    tmp_path: Path, text: str | None, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "lab.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SystemExit) as stop:
        cli.main(["eval", "--config", str(file)])

    assert stop.value.code == 2
    assert complaint in capsys.readouterr().err


def test_every_learner_is_a_command_with_its_own_settings(capsys: pytest.CaptureFixture[str]) -> None:
    practised = {name for name in cli.commands() if name.startswith("practise ")}
    assert practised == {f"practise {kind}" for kind, row in KNOWN.items() if row.practises}
    assert {name for name in cli.commands() if name.startswith("train ")} == {
        *(f"train {kind}" for kind, row in KNOWN.items() if Need.ENVIRONMENT not in row.needs),
        "train list",
    }
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", "offline-dsbc", "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "--settings.labels.threshold" in said
    assert "--policy" in said
    with pytest.raises(SystemExit):
        cli.main(["train", "bc-flow", "--help"])
    assert "--policy" not in capsys.readouterr().out


def test_a_learner_that_is_none_shows_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", "bc", "--task", "x"])
    assert ended.value.code == 2
    assert "train bc-gaussian" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[demos]\nepisodes = 3\n", "has settings of 'demos', and no command is called so"),
        ("demo = [1]\n", r"has demo = \[1\], expected a table. Write \[demo\] above"),
        ("[train]\ndsbc = 3\n", r"has dsbc = 3, expected a table. Write \[train.dsbc\] above"),
    ],
)
def test_settings_in_a_file_that_belong_to_no_command_are_refused(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "lab.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=words):
        configured("train dsbc" if "train" in text else "demo", "--config", str(file))


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_closed_stream_is_no_traceback(stream: str, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr("sys." + stream, None)
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    with pytest.raises(SystemExit):
        cli.main(["evla"])


@pytest.mark.parametrize("name", ["a" * 300, "a\0b"])
def test_a_folder_that_no_disk_can_have_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["episodes", "list", "--data", str(tmp_path / name)])
    assert stop.value.code == 2
    assert "--data has" in capsys.readouterr().err
