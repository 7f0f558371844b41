"""Generalist policies by name. Importing this package imports none of their back ends, nor the tensor library."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated

from typing_extensions import Doc

from frs_core.errors import ConfigError
from frs_core.runtime.registry import (
    Option,
    build,
    by_name,
    named,
    plugins,
    prepared,
    require_kind,
    require_words,
    storable,
    without_secrets,
)
from frs_core.steering.policy_spec import Context, PolicySpec

if TYPE_CHECKING:
    from frs_core.policies.base import FlowPolicy
    from frs_core.policies.joints import in_action_space

GROUP = "frs_core.policies"
KNOWN = by_name(
    "policy",
    (
        ("tabletop", "frs_core.policies.tabletop:load"),
        ("libero", "frs_core.policies.libero:load"),
        ("pi05", "frs_core.policies.pi05:load"),
        ("remote", "frs_core.policies.remote:load"),
        ("lerobot", "frs_core.policies.lerobot:load"),
    ),
)
"""Name -> where its loader lives; installed packages add theirs (entry points `GROUP`)."""
DEFAULT = "tabletop"
"""The policy where none is named, nor does one ship for the world."""
SHIPPED = {"tabletop": "tabletop", "libero": "libero"}
"""World -> the small generalist that ships for it."""
PolicyName = Annotated[str, named("Generalist", KNOWN, "function")]
"""An option of a command: which policy."""
WorldsPolicyName = Annotated[
    str | None,
    Doc(
        f"{named('Generalist', KNOWN, 'function').documentation} Default the one that ships for the world, or {DEFAULT}."
    ),
]
"""An option of a command that knows the world: which policy; see `usual_policy`."""
PolicyOptions = Annotated[dict[str, str] | None, Doc("Options of the policy: NAME VALUE ….")]
"""An option of a command: what the policy is loaded with."""


def usual_policy(world: str) -> str:
    """Return the policy of a world where none is named."""
    return SHIPPED.get(world, DEFAULT)


def load_policy(name: str, **options: object) -> "FlowPolicy":
    """Return a policy, loaded and ready.

    Args:
        name: one of `KNOWN`, one that an installed package brings, or "module:function" of your own.
        options: what its loader takes (a path, an address, a device).
    Raises:
        ConfigError: unknown name or option, an option that a recording cannot keep, or a policy without a name.
        WeightsMissing: no weights where they should be.
    """
    policy: FlowPolicy = build("policy", name, {**plugins(GROUP), **KNOWN}, options)
    require_kind("policy", f"{name}, spec", getattr(policy, "spec", None), PolicySpec)
    require_words("policy", name, name=policy.spec.name)
    try:
        policy.options = storable("policy", name, options)
    except ConfigError:
        policy.close()
        raise
    return policy


@dataclass(frozen=True, slots=True)
class NamedPolicy:
    """A policy as plain values: any process can load the same one."""

    name: str = DEFAULT
    """See `load_policy`."""
    options: Mapping[str, Option] = field(default_factory=dict)
    """What its loader takes."""
    action_space: str = ""
    """Converts a policy of tool deltas to this action space (see `policies.joints`); empty = no conversion."""

    def load(self) -> "FlowPolicy":
        """Return the policy, loaded and ready.

        Raises:
            ConfigError: unknown name, option or action space, a missing option, or an action space that the policy cannot take.
            WeightsMissing: no weights where they should be.
        """
        from frs_core.policies.joints import in_action_space

        policy = load_policy(self.name, **self.options)
        try:
            return in_action_space(policy, self.action_space)
        except Exception:
            policy.close()
            raise

    def require(self) -> None:
        """Do nothing, unless there is no such policy, or it takes other options; it is not loaded. Raises ConfigError."""
        prepared("policy", self.name, {**plugins(GROUP), **KNOWN}, self.options)

    @property
    def stored(self) -> "NamedPolicy":
        """What is kept of it in files: without secrets."""
        return replace(self, options=without_secrets(self.options))


__all__ = [
    "DEFAULT",
    "KNOWN",
    "SHIPPED",
    "Context",
    "FlowPolicy",
    "NamedPolicy",
    "PolicyName",
    "PolicyOptions",
    "PolicySpec",
    "WorldsPolicyName",
    "in_action_space",
    "load_policy",
    "usual_policy",
]


def __getattr__(name: str) -> object:
    """Import what needs the tensor library when it is asked for."""
    if name == "FlowPolicy":
        from frs_core.policies.base import FlowPolicy

        return FlowPolicy
    if name == "in_action_space":
        from frs_core.policies.joints import in_action_space

        return in_action_space
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
