"""The one command, `frs`: a table of subcommands, each a typed function in the module that does the work.

`frs` alone opens the cockpit; where there is no display it says so and runs the demonstration instead. Options are the
functions' arguments (tyro); a TOML file gives defaults, the command line overrides it:

    frs eval --config lab.toml --seeds 50        # lab.toml: [eval]  workers = 2

Only the module of the chosen command is imported, and the parser only where there is something to parse.
"""

import importlib
import inspect
import io
import os
import select
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn, get_type_hints

from frs_core.errors import ConfigError, FrsError, unknown_name, why_left_out
from frs_core.runtime.foreign import read_toml, visible
from frs_core.version import product_version

COMMANDS: dict[str, tuple[str, str]] = {
    "cockpit": ("app.main:run", "Open the cockpit (also: frs without a command)"),
    "demo": ("frs_core.commands.demo:demo", "Run the whole workflow without a window: steer, train, compare, report"),
    "eval": ("frs_core.commands.eval:evaluate", "Compare methods over tasks and scenes, with confidence intervals"),
    "eval show": ("frs_core.commands.eval:show", "Show the table of an evaluation"),
    "compare": ("frs_core.commands.compare:list_comparisons", "List the blinded comparisons made in the cockpit"),
    "compare show": ("frs_core.commands.compare:show", "Show, unblind or export a blinded comparison"),
    "eval assisted": (
        "frs_core.commands.assisted:assisted",
        "Measure what asking for help is worth, with a scripted operator",
    ),
    "collect": ("frs_core.commands.eval:collect", "Collect steered successes, or demonstrations, into a store"),
    "vlm judge": ("frs_core.commands.vlm:judge", "Compare a vision-language model's picks with recorded ones"),
    "train list": ("frs_core.commands.train:list_policies", "List trained policies"),
    "episodes list": ("frs_core.commands.episodes:list_episodes", "List recorded episodes"),
    "episodes show": ("frs_core.commands.episodes:show", "Show one episode"),
    "episodes stats": ("frs_core.commands.stats:stats", "Summarise recordings by task and policy"),
    "episodes check": ("frs_core.commands.episodes:check", "Regenerate stored chunks from stored noises"),
    "episodes export-mp4": ("frs_core.commands.episodes:export_mp4", "Write an episode's cameras as a video"),
    "episodes trim": ("frs_core.commands.episodes:trim", "Exclude chunks at the ends of episodes"),
    "episodes relabel": ("frs_core.commands.episodes:relabel", "Change an outcome"),
    "episodes bin": ("frs_core.commands.episodes:bin_episodes", "Move episodes to the bin"),
    "episodes restore": ("frs_core.commands.episodes:restore", "Take episodes out of the bin"),
    "episodes recover": ("frs_core.commands.episodes:recover", "Save or bin episodes that a crash left unfinished"),
    "episodes export": ("frs_core.commands.episodes:export", "Write episodes in another format"),
    "episodes import": ("frs_core.commands.episodes:import_", "Import episodes from another format"),
    "policy check": ("frs_core.commands.policy:check", "Show what a checkpoint is and whether it is complete"),
    "policy fetch": ("frs_core.commands.policy:fetch", "Download and convert published weights"),
    "policy calibrate": ("frs_core.commands.calibrate:calibrate", "Find the best steering settings for a policy"),
    "generalist make": ("frs_core.commands.generalist:make", "Make the shipped generalist from scratch"),
    "worlds install": ("frs_core.commands.worlds:install", "Install the dependencies of a world, such as libero"),
    "worlds survey": ("frs_core.commands.worlds:survey", "Measure the success rate of a world's demonstrator per task"),
    "serve": ("frs_core.commands.serve:serve", "Serve a policy to cockpits and openpi clients"),
    "bench policy": ("frs_core.commands.bench:policy", "Time the parts of pi0.5 against the hardware's limits"),
    "bench rql": (
        "frs_core.commands.bench_rql:rql",
        "Benchmark Reversal Q-Learning on OGBench against the authors' code",
    ),
    "desktop-install": (
        "frs_core.commands.desktop:desktop_install",
        "Add the cockpit to the desktop's application menu",
    ),
    "doctor": ("frs_core.commands.doctor:doctor", "Check this machine and suggest fixes"),
}
"""Name of the command -> `module:function` and one line of help. `commands` adds `train ID` and `practise ID` for the learners."""


def commands() -> dict[str, tuple[str, str]]:
    """Return `COMMANDS` with the learners' own, those of installed packages included."""
    from frs_core.learning import Need, learners

    rows: dict[str, tuple[str, str]] = {}
    for name, row in COMMANDS.items():
        if name == "train list":
            rows |= {
                f"train {learner.id}": ("frs_core.commands.train:command", learner.summary)
                for learner in learners().values()
                if Need.ENVIRONMENT not in learner.needs
            }
            rows |= {
                f"practise {learner.id}": ("frs_core.commands.practise:command", learner.summary)
                for learner in learners().values()
                if learner.practises
            }
        rows[name] = row
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Run the command line.

    Args:
        arguments: words after `frs`; None = this process's.
    """
    _accept_any_terminal()
    try:
        try:
            _run(list(sys.argv[1:] if arguments is None else arguments))
        finally:
            if sys.stdout is not None:  # pyright: ignore[reportUnnecessaryComparison]  closed by whoever started us
                sys.stdout.flush()
    except BrokenPipeError:
        if not _is_output_closed():
            raise
        raise SystemExit(1) from None


def _run(words: list[str]) -> NoReturn:
    """Run the command line. Raises SystemExit."""
    if words and words[0] in ("-h", "--help", "help"):
        print(_help())
        raise SystemExit(0)
    if words and words[0] == "--version":
        print(product_version())
        raise SystemExit(0)
    try:
        name, rest = _split(words)
        rest = _with_config(name, rest)
        code = _call(name, rest)
    except FrsError as error:
        print(visible(f"frs: {error}"), file=sys.stderr)
        raise SystemExit(2) from error
    except ModuleNotFoundError as error:
        if (left_out := why_left_out(error.name)) is None:
            raise
        print(f"frs: {left_out}", file=sys.stderr)
        raise SystemExit(2) from error
    except KeyboardInterrupt:
        print("frs: interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    raise SystemExit(code if isinstance(code, int) else 0)


def _is_output_closed() -> bool:
    """Return whether the reader of our output has closed it, as `head` does; the rest of the buffer is then discarded."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
    except (AttributeError, OSError, ValueError):  # Windows, or no file behind it
        return False
    if not any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
        return False
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
    return True


def _accept_any_terminal() -> None:
    """Escape characters that the terminal's encoding lacks, instead of failing on them."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _call(name: str, rest: list[str]) -> object:
    """Run a command's function with its arguments."""
    function = _function(name)
    if name == "cockpit" and not rest:
        # The most common start needs no parser, which takes a quarter of a second to load, here and in each process that
        # this one spawns.
        return function()
    import tyro

    _mark_optional(function)
    return tyro.cli(function, prog=f"frs {name}", args=rest, config=(tyro.conf.EnumChoicesFromValues,))


def _mark_optional(function: Callable[..., object]) -> None:
    """Let the help call options "(optional)" that are nothing by default, instead of "(default: None)" after a sentence that says more."""
    import tyro

    hints, signature = get_type_hints(function, include_extras=True), inspect.signature(function)
    quiet = tyro.conf.arg(help_behavior_hint="(optional)")
    for name, parameter in signature.parameters.items():
        if parameter.default is None or parameter.default in ("", ()):
            function.__annotations__[name] = Annotated[hints[name], quiet]
    if hasattr(function, "__signature__"):  # It is read in place of the annotations.
        marked = [p.replace(annotation=function.__annotations__[n]) for n, p in signature.parameters.items()]
        function.__signature__ = signature.replace(parameters=marked)


def _split(words: list[str]) -> tuple[str, list[str]]:
    """Return the command's name and its own arguments."""
    if not words or words[0].startswith("-"):
        return "cockpit", words
    for n in (2, 1):
        name = " ".join(words[:n])
        if len(words) >= n and name in COMMANDS:
            return name, words[n:]
    known = commands()
    name = " ".join(words[:2])
    if name in known:
        return name, words[2:]
    if words[0] in ("train", "practise") and len(words) > 1:
        from frs_core.learning.registry import require_working

        require_working(words[1])
    group = [c for c in known if c.split()[0] == words[0]]
    if group:
        print(_help(group))
        raise SystemExit(0 if len(words) == 1 or words[1] in ("-h", "--help") else 2)
    raise unknown_name("command", words[0], {c.split()[0] for c in known})


def _function(name: str) -> Callable[..., object]:
    if name not in COMMANDS:
        group, kind = name.split()
        return importlib.import_module(f"frs_core.commands.{group}").command(kind)
    module, function = COMMANDS[name][0].split(":")
    return getattr(importlib.import_module(module), function)


def _with_config(name: str, rest: list[str]) -> list[str]:
    """Return the arguments with those of a `--config` file in front, so that the command line wins."""
    if "--config" not in rest:
        return rest
    at = rest.index("--config")
    if at + 1 >= len(rest):
        raise ConfigError("--config needs a TOML file, got nothing. Write: --config lab.toml")
    file, rest = Path(rest[at + 1]), rest[:at] + rest[at + 2 :]
    try:
        table: Any = read_toml(file)
    except OSError as error:
        raise ConfigError(f"Cannot read the configuration {file}: {error.strerror}. Check the path.") from error
    except ValueError as error:
        raise ConfigError(f"{file} is not valid TOML: {error}. Fix that line.") from error
    if unknown := table.keys() - {command.split()[0] for command in commands()}:
        raise ConfigError(
            f"{file} has settings of '{min(unknown)}', and no command is called so. Correct the name in brackets."
        )
    for word in name.split():
        table = table.get(word, {})
        if not isinstance(table, dict):
            raise ConfigError(
                f"{file} has {word} = {table!r}, expected a table. Write [{name.replace(' ', '.')}] above its options."
            )
    return [*_as_arguments(table), *rest]


def _as_arguments(table: object, prefix: str = "") -> list[str]:
    words: list[str] = []
    for key, value in table.items() if isinstance(table, dict) else ():
        option = f"{prefix}{key.replace('_', '-')}"
        if isinstance(value, dict):
            words += _as_arguments(value, f"{option}.")
        elif isinstance(value, bool):
            words.append(f"--{option}" if value else f"--{prefix}no-{key.replace('_', '-')}")
        elif isinstance(value, list):
            words += [f"--{option}", *map(str, value)]
        else:
            words += [f"--{option}", str(value)]
    return words


def _help(names: list[str] | None = None) -> str:
    known = commands()
    width = max(map(len, known)) + 2
    rows = [f"  {name:<{width}}{text}" for name, (_, text) in known.items() if names is None or name in names]
    return "\n".join(
        [
            "usage: frs [command] [options]",
            "",
            "Steer a generalist robot policy and teach it from ten episodes.",
            "",
            *rows,
            "",
            "Each command: --help for its options, --config FILE.toml for defaults.",
        ]
    )
