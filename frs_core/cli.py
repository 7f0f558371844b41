"""The one command, `frs`: a table of subcommands, each a function in the module that does the work."""


def main() -> None:
    """Run the command line."""
    raise SystemExit("frs: no command yet")
