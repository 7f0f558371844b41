"""The one command, `frs`: a table of subcommands, each a typed function in the module that does the work.

`frs` alone opens the cockpit; where there is no display it says so and runs the demonstration instead. Options are the
functions' arguments (tyro); a TOML file gives defaults, the command line overrides it:

    frs eval --config lab.toml --seeds 50        # lab.toml: [eval]  workers = 2

Only the module of the chosen command is imported, and the parser only where there is something to parse.
"""

import contextlib
import importlib
import inspect
import io
import logging
import os
import sys
from collections.abc import Callable
from typing import Annotated, NoReturn, get_type_hints

from frs_core.commands.arguments import checked, parser_rules
from frs_core.commands.config_file import with_config
from frs_core.commands.options import require_known
from frs_core.commands.output import (
    OutputFails,
    discard_output,
    end_as_unread,
    fill_closed_streams,
    is_output_closed,
    watch_output,
)
from frs_core.errors import FrsError, unknown_name, why_left_out
from frs_core.runtime.foreign import in_line
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
    "generalist make": ("frs_core.commands.generalist:make", "Make a shipped generalist from scratch"),
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
    fill_closed_streams()
    _accept_any_terminal()
    watch_output()
    try:
        try:
            _run(list(sys.argv[1:] if arguments is None else arguments))
        finally:
            sys.stdout.flush()
    except OutputFails as error:
        discard_output()
        _complain(f"standard output cannot be written: {error.strerror}. What is missing there was not kept elsewhere.")
        raise SystemExit(1) from None
    except OSError as error:
        if isinstance(error, BrokenPipeError) and is_output_closed():
            end_as_unread()
        # What nobody below has put into words: the disk or the network, in the system's words.
        named = "" if error.filename is None else f"'{os.fsdecode(error.filename)}' cannot be used: "
        _complain(f"{named}{error.strerror or error}. Check the path, its permissions and the disk.")
        raise SystemExit(2) from error


def _run(words: list[str]) -> NoReturn:
    """Run the command line. Raises SystemExit."""
    # Where its settings are kept, and that it makes a temporary folder where they cannot be, is for nobody to read.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    if words and words[0] in ("-h", "--help", "help"):
        print(_help())
        raise SystemExit(0)
    if words and words[0] == "--version":
        print(product_version())
        raise SystemExit(0)
    try:
        name, rest = _split(words)
        code = _call(name, rest)
    except FrsError as error:
        _complain(str(error))
        raise SystemExit(2) from error
    except ModuleNotFoundError as error:
        if (left_out := why_left_out(error.name)) is None:
            raise
        _complain(left_out)
        raise SystemExit(2) from error
    except KeyboardInterrupt:
        _complain("interrupted")
        raise SystemExit(130) from None
    raise SystemExit(code if isinstance(code, int) else 0)


def _complain(text: str) -> None:
    """Print a line to standard error; where that cannot be written either, the exit status alone speaks."""
    with contextlib.suppress(OSError):
        print(in_line(f"frs: {text}"), file=sys.stderr, flush=True)


def _accept_any_terminal() -> None:
    """Escape characters that the terminal's encoding lacks, instead of failing on them."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _call(name: str, rest: list[str]) -> object:
    """Run a command's function with its arguments."""
    function = checked(_function(name))
    rest = with_config(name, rest, function, commands)
    if name == "cockpit" and not rest:
        # The most common start needs no parser, which takes a quarter of a second to load, here and in each process that
        # this one spawns.
        return function()
    require_known(rest, function)
    import tyro

    _mark_optional(function)
    return tyro.cli(
        function, prog=f"frs {name}", args=rest, config=(tyro.conf.EnumChoicesFromValues,), registry=parser_rules()
    )


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
