"""Compare methods over tasks and seeds: collect episodes, run, tabulate, plot. Import the module you need; none is imported here."""

__all__: list[str] = []
