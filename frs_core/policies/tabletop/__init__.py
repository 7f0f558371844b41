"""The shipped generalist: a small vision-language flow policy for the tabletop world."""

from frs_core.policies.tabletop.policy import TabletopPolicy, load

__all__ = ["TabletopPolicy", "load"]
