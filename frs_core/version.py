"""The product's version, which pyproject.toml alone states."""

from importlib.metadata import PackageNotFoundError, version


def is_thin() -> bool:
    """Return whether this is the thin cockpit (thin/pyproject.toml), which computes no policy itself."""
    try:
        version("frs-cockpit-thin")
    except PackageNotFoundError:
        return False
    return True


def product_version() -> str:
    """Return the installed version, such as "0.1.0"; "unknown" in a checkout that was not installed."""
    for distribution in ("frs-cockpit", "frs-cockpit-thin"):
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return "unknown"
