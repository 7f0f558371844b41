"""One of everything. Each module is complete: the class, and the row or entry point in pyproject.toml that names it."""
