"""The names that checkpoints give to pi0.5's tensors, and this product's names for the same tensors.

Problem: one network is stored under several sets of names: LeRobot puts `model.` in front, training puts the names of its wrappers in
between, and transformers moved parts of PaliGemma twice. Idea: each way of writing is one rule on the name; shapes are judged afterwards,
so a rule cannot make another network pass for this one.

Example: `model._orig_mod.paligemma_with_expert.paligemma.vision_tower.post_layernorm.bias` becomes
`paligemma_with_expert.paligemma.model.vision_tower.vision_model.post_layernorm.bias`. Pure functions; any thread.
"""

import re
from collections.abc import Iterable

from frs_core.errors import ConfigError

_WRAPPERS = re.compile(r"(?<![^.])(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""What torch.compile, FSDP and activation checkpointing put between the parts of a name."""
_OUTER = re.compile(r"^(?:module\.)?(?:model\.)?")
"""What DDP and LeRobot put in front."""
_MOVED = (
    # transformers before 4.52.
    (r"^(paligemma_with_expert\.paligemma\.)language_model\.lm_head\.", r"\1lm_head."),
    (r"^(paligemma_with_expert\.paligemma\.)language_model\.model\.", r"\1model.language_model."),
    (r"^(paligemma_with_expert\.paligemma\.)(vision_tower|multi_modal_projector)\.", r"\1model.\2."),
    # transformers from 5.6 on.
    (r"(\.vision_tower\.)(?!vision_model\.)", r"\1vision_model."),
    # Source: LeRobot modeling_pi05.py, _fix_pytorch_state_dict_keys.
    (r"^action_time_mlp_", "time_mlp_"),
)


def tensor_name(stored: str) -> str:
    """Return this product's name of a stored tensor; one that is not understood stays as it is."""
    name = _OUTER.sub("", _WRAPPERS.sub("", stored))
    for pattern, ours in _MOVED:
        name = re.sub(pattern, ours, name)
    return name


def is_adapter_array(stored: str) -> bool:
    """Return whether a tensor belongs to a LoRA adapter, of whatever formula."""
    return ".lora_" in stored


def stored_names(stored: Iterable[str]) -> dict[str, str]:
    """Return this product's name -> the name in the file.

    Raises:
        ConfigError: two names mean the same tensor.
    """
    names: dict[str, str] = {}
    for theirs in stored:
        ours = tensor_name(theirs)
        if ours in names:
            raise ConfigError(
                f"Tensor '{ours}' is there twice, as '{names[ours]}' and '{theirs}'. Which one was trained is not stated; "
                f"remove the other."
            )
        names[ours] = theirs
    return names
