"""LeRobot's own policies shrunk to a size for tests; needs LeRobot, no download.

LeRobot accepts full-size configurations only, so the sizes are replaced where it looks them up.
"""

from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch

PI05_VISION = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 16,
    "intermediate_size": 96,
    "projection_dim": 128,
    "image_size": 56,
    "patch_size": 14,
    "vision_use_head": False,
}
_TEXT = {"width": 128, "depth": 2, "mlp_dim": 160, "num_heads": 8, "num_kv_heads": 1, "head_dim": 16}
_EXPERT = {"width": 64, "depth": 2, "mlp_dim": 96, "num_heads": 8, "num_kv_heads": 1, "head_dim": 16}
WORDS = 256


def features(*, image: int, state: int = 8, action: int = 8) -> dict[str, Any]:
    """Return input and output features with two cameras."""
    from lerobot.configs import FeatureType, PolicyFeature

    picture = PolicyFeature(type=FeatureType.VISUAL, shape=(3, image, image))
    return {
        "input_features": {
            "observation.images.base": picture,
            "observation.images.wrist": picture,
            "observation.state": PolicyFeature(type=FeatureType.STATE, shape=(state,)),
        },
        "output_features": {"action": PolicyFeature(type=FeatureType.ACTION, shape=(action,))},
    }


def tiny_pi05(**config: Any) -> Any:
    """Return a LeRobot PI05Policy of the fixture's sizes, random weights."""
    from lerobot.policies.pi05 import modeling_pi05 as module
    from lerobot.policies.pi05.configuration_pi05 import PI05Config

    settings = PI05Config(
        chunk_size=15, n_action_steps=8, dtype="float32", device="cpu", image_resolution=(56, 56), **config
    )
    return _built(module, module.PI05Policy, settings)


def tiny_pi0(**config: Any) -> Any:
    """Return a LeRobot PI0Policy of the fixture's sizes, random weights."""
    from lerobot.policies.pi0 import modeling_pi0 as module
    from lerobot.policies.pi0.configuration_pi0 import PI0Config

    settings = PI0Config(
        chunk_size=15, n_action_steps=8, dtype="float32", device="cpu", image_resolution=(56, 56), **config
    )
    return _built(module, module.PI0Policy, settings)


def tiny_smolvla(**config: Any) -> Any:
    """Return a LeRobot SmolVLAPolicy with a small vision-language model, random weights."""
    from lerobot.policies.smolvla import modeling_smolvla, smolvlm_with_expert
    from lerobot.policies.smolvla.configuration_smolvla import SmolVLAConfig
    from transformers import SmolVLMConfig

    vlm = SmolVLMConfig(
        text_config={
            "model_type": "llama",
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "vocab_size": WORDS,
        },
        vision_config={
            "hidden_size": 48,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 64,
            "patch_size": 16,
        },
        scale_factor=2,
        vocab_size=WORDS,
        pad_token_id=0,
    )
    tokenizer = SimpleNamespace(fake_image_token_id=1, global_image_token_id=2)
    processor = SimpleNamespace(tokenizer=tokenizer)
    settings = SmolVLAConfig(
        chunk_size=15,
        n_action_steps=8,
        device="cpu",
        load_vlm_weights=False,
        num_vlm_layers=4,
        resize_imgs_with_padding=(64, 64),
        **config,
    )
    patches = (
        mock.patch.object(smolvlm_with_expert.AutoConfig, "from_pretrained", return_value=vlm),
        mock.patch.object(smolvlm_with_expert.AutoProcessor, "from_pretrained", return_value=processor),
    )
    with patches[0], patches[1]:
        return _randomised(modeling_smolvla.SmolVLAPolicy(settings))


def before(policy: Any, *, tokens: int = 12, padded: int = 20) -> Any:
    """Return a pre-processor with made-up prompt tokens, in place of the gated tokenizer."""
    words = torch.randint(5, WORDS, (tokens,), generator=torch.Generator().manual_seed(2))

    def process(raw: dict[str, Any]) -> dict[str, Any]:
        batch = {k: v[None] for k, v in raw.items() if isinstance(v, torch.Tensor)}
        ids = torch.zeros(1, padded, dtype=torch.long)
        ids[0, :tokens] = words
        batch["observation.language.tokens"] = ids
        batch["observation.language.attention_mask"] = torch.arange(padded)[None] < tokens
        return batch

    return process


def _built(module: Any, policy_class: Any, settings: Any) -> Any:
    sizes = {
        "get_gemma_config": lambda name: module.GemmaConfig(**(_TEXT if name == "gemma_2b" else _EXPERT)),
        "CONFIG_MAPPING": _Sizes(module.CONFIG_MAPPING),
    }
    with mock.patch.multiple(module, **sizes):
        return _randomised(policy_class(settings))


class _Sizes:
    """Stands in for transformers' table of configurations and makes small ones."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getitem__(self, name: str) -> Any:
        real = self._real[name]
        if name != "paligemma":
            return lambda **kwargs: real(**{**kwargs, "vocab_size": WORDS})

        def make() -> Any:
            config = real()
            vision, text = type(config.vision_config), type(config.text_config)
            config.vision_config = _fixed(vision, {"intermediate_size", "projection_dim"})(**PI05_VISION)
            config.text_config = _fixed(text, {"vocab_size"})(vocab_size=WORDS)
            return config

        return make


def _fixed(base: Any, names: set[str]) -> Any:
    """Return a subclass whose named values, once set, cannot be overwritten by hard-coded full sizes."""

    class Fixed(base):
        def __setattr__(self, key: str, value: Any) -> None:
            if not (key in names and key in self.__dict__):
                super().__setattr__(key, value)

    Fixed.__name__ = base.__name__
    return Fixed


def _randomised(policy: Any) -> Any:
    """Fill all weights so that every part of the network matters."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in policy.named_parameters():
            if weight.ndim >= 2:
                scale = 0.05 if "embed_tokens" in name else weight[0].numel() ** -0.5
                weight.copy_(torch.randn(weight.shape, generator=generator) * scale)
            elif "norm" not in name or name.endswith("bias"):
                weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
    return policy.float().eval()
