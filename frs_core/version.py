"""The product's version, which pyproject.toml alone states."""

from importlib.metadata import PackageNotFoundError, version


def product_version() -> str:
    """Return the installed version, such as "0.1.0"; "unknown" in a checkout that was not installed."""
    try:
        return version("frs-cockpit")
    except PackageNotFoundError:
        return "unknown"
