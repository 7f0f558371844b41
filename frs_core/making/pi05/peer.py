"""Time LeRobot's pi0.5 of the same sizes in the same run, for comparison.

LeRobot offers only whole samples; a fan by its own functions is one prefix and twenty `denoise_step` calls of the batch. Both
are timed. Runs in the terminal; needs LeRobot (Python >= 3.12).
"""

import contextlib
import statistics
import time
from collections.abc import Callable, Generator
from typing import Any

import torch

from frs_core.making.pi05.speed import STEPS, Clock, Timing, measured_ms
from frs_core.policies.pi05.sizes import GemmaSize, ModelSize


class _Stopped(Exception):
    """Ends LeRobot's sampler once the prefix is computed."""


def measure_lerobot(
    *,
    device: torch.device,
    dtype: torch.dtype,
    size: ModelSize,
    batches: tuple[int, ...],
    horizons: tuple[int, ...],
    cameras: int,
    words: int,
    repeats: int,
    told: Callable[[Timing], None] = lambda _: None,
    clock: Clock = time.perf_counter,
) -> list[Timing]:
    """Return LeRobot's times: one sample of one row, and a fan of each batch.

    Args:
        device: where.
        dtype: type of the language models' weights (LeRobot keeps vision in float32).
        size: of the network.
        batches: candidates.
        horizons: rows of a chunk.
        cameras: images; LeRobot adds an absent one, as its pi0.5 checkpoints have.
        words: prompt tokens, padded to 200 as LeRobot does.
        repeats: measurements per part; the median is reported.
        told: called with each result at once.
        clock: returns seconds from any start.
    Raises:
        ImportError: LeRobot is not installed.
    """
    results: list[Timing] = []
    for horizon in horizons:
        policy, batch_of_one = _build(device, dtype, size, horizon=horizon, cameras=cameras, words=words)
        runs: dict[tuple[str, int], Callable[[], object]] = {
            ("sample", 1): lambda p=policy, b=batch_of_one: p.predict_action_chunk(dict(b))
        }
        runs |= {("fan", n): _fan(policy, batch_of_one, n, horizon) for n in batches}
        for (what, n), run in runs.items():
            with torch.inference_mode():
                ms = statistics.median(measured_ms(run, device, repeats, clock=clock))
            results.append(Timing(f"{what} with encode", n, horizon, "lerobot", ms, repeats, 0.0))
            told(results[-1])
        del policy, runs
    return results


@contextlib.contextmanager
def _replaced(owner: Any, **attributes: Any) -> Generator[None, None, None]:
    """Replace attributes of a module or object within a context."""
    before = {name: getattr(owner, name) for name in attributes}
    for name, value in attributes.items():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)


def _fan(policy: Any, batch: dict[str, Any], n: int, horizon: int) -> Callable[[], object]:
    from transformers import DynamicCache  # pyright: ignore[reportMissingImports]  optional

    model = policy.model

    def run() -> object:
        seen: dict[str, Any] = {}

        def first(**kwargs: Any) -> torch.Tensor:
            seen.update(kwargs)
            raise _Stopped

        with _replaced(model, denoise_step=first), contextlib.suppress(_Stopped):
            policy.predict_action_chunk(dict(batch))
        layers = tuple((k.expand(n, -1, -1, -1), v.expand(n, -1, -1, -1), None) for k, v, *_ in seen["past_key_values"])
        pad = seen["prefix_pad_masks"].expand(n, -1)
        x = torch.randn(n, horizon, policy.config.max_action_dim, device=pad.device)
        for k in range(2 * STEPS):
            t = torch.full((n,), abs(k - STEPS) / STEPS, device=pad.device)
            x = x - 0.1 * model.denoise_step(
                prefix_pad_masks=pad, past_key_values=DynamicCache(layers), x_t=x, timestep=t
            )
        return x

    return run


def _build(
    device: torch.device, dtype: torch.dtype, size: ModelSize, *, horizon: int, cameras: int, words: int
) -> tuple[Any, dict[str, Any]]:
    from lerobot.configs import FeatureType, PolicyFeature  # pyright: ignore[reportMissingImports]  optional
    from lerobot.policies.pi05 import modeling_pi05 as module  # pyright: ignore[reportMissingImports]  optional
    from lerobot.policies.pi05.configuration_pi05 import PI05Config  # pyright: ignore[reportMissingImports]  optional

    names = [f"observation.images.camera_{i}" for i in range(cameras)]
    picture = PolicyFeature(type=FeatureType.VISUAL, shape=(3, size.vision.image, size.vision.image))
    config = PI05Config(
        chunk_size=horizon,
        n_action_steps=horizon,
        dtype="bfloat16" if dtype is torch.bfloat16 else "float32",
        device=str(device),
        input_features={n: picture for n in names},
        output_features={"action": PolicyFeature(type=FeatureType.ACTION, shape=(8,))},
        empty_cameras=1,
        compile_model=False,
    )
    real = module.CONFIG_MAPPING

    def gemma(name: str) -> Any:
        own = size.text if name == "gemma_2b" else size.expert
        return module.GemmaConfig(**_gemma_arguments(own))

    with _replaced(module, get_gemma_config=gemma, CONFIG_MAPPING=_SmallVocabulary(real, size)):
        policy = module.PI05Policy(config).eval()
    batch: dict[str, Any] = {n: torch.rand(1, *picture.shape, device=device) for n in names}
    batch["observation.language.tokens"] = torch.randint(0, size.vocabulary, (1, 200), device=device)
    batch["observation.language.attention_mask"] = (torch.arange(200, device=device) < words)[None]
    return policy, batch


def _gemma_arguments(size: GemmaSize) -> dict[str, int]:
    return {
        "width": size.width,
        "depth": size.depth,
        "mlp_dim": size.mlp,
        "num_heads": size.heads,
        "num_kv_heads": 1,
        "head_dim": size.head_dim,
    }


class _SmallVocabulary:
    """transformers' table of configurations with the benchmark's vocabulary and depth, which LeRobot hard-codes."""

    def __init__(self, real: Any, size: ModelSize) -> None:
        self._real, self._size = real, size

    def __getitem__(self, name: str) -> Any:
        real, size = self._real[name], self._size
        if name != "paligemma":
            return lambda **kwargs: real(**{**kwargs, "vocab_size": size.vocabulary})

        def make() -> Any:
            config = real()
            text = type(config.text_config)

            class Text(text):  # pyright: ignore[reportUntypedBaseClass]  optional
                def __setattr__(self, key: str, value: Any) -> None:
                    super().__setattr__(key, size.vocabulary if key == "vocab_size" else value)

            Text.__name__ = text.__name__
            config.text_config = Text(vocab_size=size.vocabulary)
            config.vision_config.num_hidden_layers = size.vision.depth
            return config

        return make
