"""Generalist policies by name. Importing this package imports none of their back ends, nor the tensor library."""

from typing import TYPE_CHECKING

from frs_core.runtime.registry import build, by_name, plugins, require_words
from frs_core.steering.policy_spec import Context, PolicySpec

if TYPE_CHECKING:
    from frs_core.policies.base import FlowPolicy
    from frs_core.policies.joints import in_action_space

GROUP = "frs_core.policies"
KNOWN = by_name(
    "policy",
    (
        ("tabletop", "frs_core.policies.tabletop:load"),
        ("pi05", "frs_core.policies.pi05:load"),
        ("remote", "frs_core.policies.remote:load"),
        ("lerobot", "frs_core.policies.lerobot:load"),
    ),
)
"""Name -> where its loader lives; installed packages add theirs (entry points `GROUP`)."""


def load_policy(name: str, **options: object) -> "FlowPolicy":
    """Return a policy, loaded and ready.

    Args:
        name: one of `KNOWN`, one that an installed package brings, or "module:function" of your own.
        options: what its loader takes (a path, an address, a device).
    Raises:
        ConfigError: unknown name or option, or a policy without a name.
        WeightsMissing: no weights where they should be.
    """
    policy: FlowPolicy = build("policy", name, {**plugins(GROUP), **KNOWN}, options)
    require_words("policy", name, name=policy.spec.name)
    return policy


__all__ = ["KNOWN", "Context", "FlowPolicy", "PolicySpec", "in_action_space", "load_policy"]


def __getattr__(name: str) -> object:
    """Import what needs the tensor library when it is asked for."""
    if name == "FlowPolicy":
        from frs_core.policies.base import FlowPolicy

        return FlowPolicy
    if name == "in_action_space":
        from frs_core.policies.joints import in_action_space

        return in_action_space
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
