"""Methods x tasks x seeds: collect, run, tabulate, show. Import the module you need; none is loaded from here."""

__all__: list[str] = []
