"""One worker's setup: a world, a policy, and the world's scripted operator, made by name in the worker's own process."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from frs_core.choosers.base import Chooser
from frs_core.errors import ConfigError
from frs_core.policies import NamedPolicy
from frs_core.policies.base import FlowPolicy
from frs_core.runtime.registry import call, require_kind, resolve
from frs_core.worlds import DEFAULT, make_unwatched_world
from frs_core.worlds.base import World


@dataclass(frozen=True, slots=True)
class SetupSpec:
    """Names and options as plain values, so that they can be sent to processes and stored in result files."""

    world: str = DEFAULT
    world_options: Mapping[str, Any] = field(default_factory=dict)
    policy: NamedPolicy = field(default_factory=NamedPolicy)
    operator: str = ""
    """`module:Class` of the scripted operator; empty = the world's own."""
    demonstrator: str = ""
    """`module:function` of the demonstrator; empty = the world's own."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "SetupSpec":
        """Return the spec of `to_json`."""
        return cls(
            data["world"],
            data["world_options"],
            NamedPolicy(data["policy"], data["policy_options"], data.get("action_space", "")),
            operator=data["operator"],
            demonstrator=data["demonstrator"],
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values, secrets included: for processes, not for files."""
        return {
            "world": self.world,
            "world_options": dict(self.world_options),
            "policy": self.policy.name,
            "policy_options": dict(self.policy.options),
            "operator": self.operator,
            "demonstrator": self.demonstrator,
            # Omitted if empty, so that earlier results still match.
            **({"action_space": self.policy.action_space} if self.policy.action_space else {}),
        }


@dataclass(slots=True, eq=False)
class Setup:
    """A world and a policy that fit each other."""

    world: World
    policy: FlowPolicy
    spec: SetupSpec

    def operator(self) -> Chooser:
        """Return a fresh scripted operator for the world.

        Raises:
            ConfigError: the world has none, or it is not made from a world.
        """
        path = self.spec.operator or self.world.spec.operator
        made = call("operator", path, _operator(self.spec, self.world), self.world)
        require_kind("operator", path, made, Chooser)
        return made

    def close(self) -> None:
        """Free both."""
        self.world.close()
        self.policy.close()


def _operator(spec: SetupSpec, world: World) -> Callable[[World], Chooser]:
    """Return what makes the scripted operator. Raises ConfigError: there is none, or it is not made from a world."""
    path = spec.operator or world.spec.operator
    make = named("operator", path, spec.world)
    try:
        inspect.signature(make).bind(world)
    except ValueError:  # Written in C, without a signature.
        pass
    except TypeError as error:
        raise ConfigError(
            f"The scripted operator '{path}' cannot be made from a world: {error}. It is called with the world alone."
        ) from None
    return make


def named(kind: str, path: str, world: str) -> Callable[..., Any]:
    """Return a world's operator or demonstrator.

    Args:
        kind: which of the two.
        path: `module:attribute`; empty if none was given and the world has none.
        world: its name, for the error message.
    Raises:
        ConfigError: there is none, or it cannot be imported.
    """
    if not path:
        option = "--scripted-operator" if kind == "operator" else f"--{kind}"
        raise ConfigError(f"World '{world}' has no scripted {kind}. Name your own, 'module:Class', with {option}.")
    return resolve(kind, path, {})


def open_setup(spec: SetupSpec, *, tasks: Iterable[str] = (), has_operator: bool = False) -> Setup:
    """Return the setup of a spec, for sessions that nobody watches.

    Args:
        spec: names and options.
        tasks: what it will be used for.
        has_operator: the scripted operator will be needed.
    Raises:
        ConfigError: a real robot, unknown names or tasks, no scripted operator where one is needed, an action space the policy cannot
            take, or a policy whose cameras the world lacks.
    """
    world = make_unwatched_world(spec.world, **spec.world_options)
    try:
        for task in tasks:  # Before the policy, which may take minutes to load.
            world.require_task(task)
        if has_operator:
            _operator(spec, world)
        policy = spec.policy.load()
    except Exception:
        world.close()
        raise
    missing = [c for c in policy.spec.cameras if c not in world.spec.cameras]
    if missing:
        world.close()
        policy.close()
        raise ConfigError(
            f"Policy '{spec.policy.name}' needs camera '{missing[0]}', world '{spec.world}' has "
            f"{list(world.spec.cameras)}. Choose a world with the policy's cameras."
        )
    return Setup(world, policy, spec)
