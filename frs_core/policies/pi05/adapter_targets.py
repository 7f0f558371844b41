"""Which modules a PEFT adapter changes by its configuration, and whether its file has the arrays of all of them.

Problem: an adapter whose file was cut, or that belongs to another base, changes a part of the network without any error. Idea: PEFT's own rules
say which modules of the base it wraps, and each must have its arrays. Where the configuration names none, a kind of module that is changed
in one layer must be changed in every layer.

Example: `target_modules` "q_proj" on 18 layers wants 18 pairs of arrays. Pure functions; the terminal.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from frs_core.errors import ConfigError
from frs_core.policies.pi05.names import tensor_name

_NOT_LINEAR = ("lm_head", "embed_tokens", "position_embedding")
"""Matrices that "all-linear" leaves out. Source: peft tuners/tuners_utils.py, `_maybe_include_all_linear_layers`."""
_LAYER = re.compile(r"^(?P<stack>.+?\.layers)\.(?P<number>\d+)\.(?P<kind>.+)$")
_FIX = "Download it again, or give the base that it was trained on as --base."


def require_all_targets(
    config: Mapping[str, Any],
    *,
    changed: Collection[str],
    full: Collection[str],
    matrices: Iterable[str],
    stored: Iterable[str],
) -> None:
    """Do nothing where an adapter is whole.

    Args:
        config: PEFT's configuration.
        changed: tensors that its pairs of arrays change, this product's names.
        full: tensors that it holds in full.
        matrices: the base's tensors of two axes, as stored.
        stored: all of the base's tensors, as stored.
    Raises:
        ConfigError: arrays are missing, or the configuration is not understood.
    """
    wanted = {tensor_name(name) for name in matrices if name.endswith(".weight") and _is_target(_module(name), config)}
    if missing := sorted(wanted - set(changed)):
        raise ConfigError(
            f"The adapter's target_modules name {len(wanted)} matrices of the base, and {len(missing)} have no arrays in it, e.g. '{missing[0]}'. "
            f"{_FIX}"
        )
    if not config.get("target_modules"):
        _require_every_layer(changed, {tensor_name(name) for name in stored})
    saved = config.get("modules_to_save") or []
    if not isinstance(saved, list) or not all(isinstance(name, str) and name for name in saved):
        raise ConfigError(
            f"The adapter's configuration has modules_to_save = {saved!r}, expected a list of names. Download it again."
        )
    for name in saved:
        whole = {tensor_name(s) for s in stored if any(part.endswith(name) for part in _parts(_module(s)))}
        if missing := sorted(whole - set(full)):
            raise ConfigError(
                f"The adapter's modules_to_save name '{name}', trained in full, and {len(missing)} of its {len(whole)} arrays are not in it, e.g. "
                f"'{missing[0]}'. {_FIX}"
            )
    if config.get("bias") not in (None, "none") and not any(name.endswith(".bias") for name in full):
        raise ConfigError(f"The adapter was trained with bias = {config['bias']!r}, and its file holds no bias. {_FIX}")


def _require_every_layer(changed: Collection[str], tensors: Collection[str]) -> None:
    for name in sorted(changed):
        if (found := _LAYER.match(name)) is None:
            continue
        same = re.compile(rf"{re.escape(found['stack'])}\.\d+\.{re.escape(found['kind'])}")
        missing = sorted(other for other in tensors if same.fullmatch(other) and other not in changed)
        if missing:
            raise ConfigError(
                f"The adapter changes '{name}' and not '{missing[0]}', and its configuration names no target_modules that say so. {_FIX}"
            )


def _module(stored: str) -> str:
    return stored.rpartition(".")[0]


def _parts(module: str) -> list[str]:
    """Return a module and those that it lies in, by their full names."""
    words = module.split(".")
    return [".".join(words[: n + 1]) for n in range(len(words))]


def _is_target(module: str, config: Mapping[str, Any]) -> bool:
    """Return whether PEFT wraps a module. Source: peft tuners/tuners_utils.py, `check_target_module_exists`.

    Raises:
        ConfigError: a pattern is none.
    """
    targets, excluded = config.get("target_modules"), config.get("exclude_modules")
    if excluded and _is_named(module, excluded, "exclude_modules"):
        return False
    if not targets:
        return False
    if targets == "all-linear":
        return not module.endswith(_NOT_LINEAR)
    if isinstance(targets, str) or not _is_named(module, targets, "target_modules") or module in targets:
        return _is_named(module, targets, "target_modules")
    layers, patterns = config.get("layers_to_transform"), config.get("layers_pattern")
    if layers is None or layers == []:
        return True
    named = [patterns] if isinstance(patterns, str) else patterns or [r"[^.]*"]
    found = next((f for p in named if (f := _match(rf".*\.{p}\.(\d+)\.", module, "layers_pattern"))), None)
    return found is not None and int(found[1]) in (layers if isinstance(layers, list) else [layers])


def _is_named(module: str, names: object, setting: str) -> bool:
    if isinstance(names, str):
        return _match(f"(?:{names})$", module, setting) is not None
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise ConfigError(
            f"The adapter's configuration has {setting} = {names!r}, expected a list of names or one pattern. Download it again."
        )
    return module in names or any(module.endswith(f".{name}") for name in names)


def _match(pattern: str, module: str, setting: str) -> re.Match[str] | None:
    try:
        return re.match(pattern, module)
    except re.error as error:
        raise ConfigError(
            f"The adapter's configuration has a pattern in {setting} that is none ({error}). Download it again."
        ) from error
