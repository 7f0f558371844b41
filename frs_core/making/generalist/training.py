"""Train a small generalist, in three stages that can be cut at any time and go on later.

Stage *see*: images to actions, end to end, with the pointing loss that makes named things findable. Stage *act*: vision is
frozen and its output is stored for every sample, so that words, context and flow head train fifty times faster.
Stage *mend* is a short act with corrections mixed in: what the expert would have done where the policy itself went.
Each keeps `<stage>_last.safetensors` (with optimiser state and step), `<stage>.safetensors` (an exponential average of the
weights) and `<stage>.json` (settings, step, losses). Batches go to the device the network is on; a stage that was cut
goes on with the same draws.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from frs_core.arrays import Array
from frs_core.making.generalist.course import Course
from frs_core.making.generalist.stages import Log, OnLog
from frs_core.policies.generalist.network import GRID, SLOT_IN, GeneralistNet
from frs_core.policies.generalist.pictures import to_input
from frs_core.runtime.foreign import parse_json, plain_file, read_tensors

POSITION_NOISE = 0.006
"""Standard deviation added to stored positions in the image, in half image sizes: 0.7 pixels of 224."""
LOOKS_HIDDEN = 0.3
"""Chance that a thing's looks, or the overview, are hidden from the act and mend stages."""
LOG_EVERY = 100
"""Steps between lines of progress."""
_VISION_LOG_EVERY = 20
"""Batches between lines of progress while vision vectors are stored."""
KEEP_EVERY = 500
"""Steps between checkpoints."""


Losses = list[tuple[int, dict[str, float]]]
"""(step, mean losses since the last line)."""


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """Settings of one stage."""

    steps: int
    batch: int
    learning_rate: float
    draws: int
    """(noise, time) pairs per sample."""
    warmup: int = 200
    weight_decay: float = 0.01
    average: float = 0.998
    seed: int = 0


SEE = TrainSettings(steps=1100, batch=96, learning_rate=1.5e-3, draws=2)
ACT = TrainSettings(steps=7500, batch=256, learning_rate=1.0e-3, draws=3, average=0.999)
MEND = TrainSettings(steps=5000, batch=256, learning_rate=9.0e-4, draws=3, average=0.998)
CORRECTION_SHARE = 0.3
"""Part of each batch of the mend stage that is corrections."""


class Samples:
    """Demonstrations in memory, with images left on disk until asked for."""

    def __init__(self, course: Course, folder: Path, *, with_images: bool) -> None:
        from safetensors import safe_open

        design = course.design

        files = sorted(folder.glob("shard_*.safetensors"))
        if not files:
            raise FileNotFoundError(f"No demonstrations in {folder}. Make them with `frs generalist make`.")
        fields = ["chunk", "proprio", "mounts", "uv", "visible", "episode", "task"]
        parts: dict[str, list[Array]] = {f: [] for f in fields}
        images: dict[str, list[Array]] = {c: [] for c in design.cameras}
        for file in files:
            with safe_open(plain_file(file), "np") as shard:
                for f in fields:
                    parts[f].append(shard.get_tensor(f))
                if with_images:
                    for c in design.cameras:
                        images[c].append(shard.get_tensor(f"image_{c}"))
        self.arrays = {f: np.concatenate(p) for f, p in parts.items()}
        self._course, self._images = course, images
        self._starts = np.cumsum([0, *(len(p) for p in parts["episode"])])
        self.arrays["chunk"] = design.action_space().normalise(self.arrays["chunk"])
        wrist = design.cameras.index(design.on_tool)
        hidden = self.arrays["uv"][:, :, wrist, 1] > course.hidden_below
        self.arrays["visible"][:, :, wrist] &= ~hidden
        is_held_out = self.arrays["episode"] // 20 % 20 == 19
        self.train = np.flatnonzero(~is_held_out)
        self._corrections, self._share = np.array([], dtype=np.int64), 0.0
        self.test = np.flatnonzero(is_held_out)

    def __len__(self) -> int:
        return len(self.arrays["episode"])

    def add_corrections(self, corrections: dict[str, Array], *, share: float) -> None:
        """Append corrections, which have vision vectors instead of images; `share` of each batch will be theirs."""
        first, count = len(self), len(corrections["task"])
        added = {**corrections, "chunk": self._course.design.action_space().normalise(corrections["chunk"])}
        added["episode"] = np.full(count, -1, dtype=np.int32)
        for field in ("chunk", "proprio", "mounts", "task", "episode"):
            self.arrays[field] = np.concatenate([self.arrays[field], added[field]])
        self._corrections, self._share = np.arange(first, first + count), share

    def draw(self, rng: np.random.Generator, batch: int) -> Array:
        """Return random training rows."""
        count = round(batch * self._share)
        rows = rng.choice(self.train, batch - count)
        return np.concatenate([rows, rng.choice(self._corrections, count)]) if count else rows

    def images(self, rows: Array, device: torch.device) -> dict[str, Tensor]:
        """Return images of some samples as float [-1, 1], channels first."""
        shard = np.searchsorted(self._starts, rows, side="right") - 1
        out = {}
        for c in self._images:
            stack = np.stack([self._images[c][s][r - self._starts[s]] for s, r in zip(shard, rows, strict=True)])
            out[c] = to_input(torch.from_numpy(stack).to(device))
        return out

    def words(self, rows: Array, rng: np.random.Generator, device: torch.device) -> Tensor:
        """Return a fresh description of each sample."""
        tasks = self.arrays["task"][rows]
        course = self._course
        return torch.from_numpy(np.stack([course.describe(rng, course.tasks[t]) for t in tasks])).to(device)

    def seen(self, rows: Array, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return proprioception and where the cameras were."""
        return self.tensor("proprio", rows, device), self.tensor("mounts", rows, device)

    def tensor(self, field: str, rows: Array, device: torch.device) -> Tensor:
        """Return a field of some samples."""
        return torch.from_numpy(self.arrays[field][rows]).to(device)


def device_of(net: nn.Module) -> torch.device:
    """Return where a network's weights are."""
    return next(net.parameters()).device


def half_precision(device: torch.device) -> torch.autocast:
    """Return the context of matrix products in bfloat16, where the device has it; emulated on a CPU, it is several times slower."""
    is_native = device.type != "cpu" or torch.cpu.get_capabilities().get("avx512_bf16", False)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=bool(is_native))


def flow_loss(net: GeneralistNet, features: Tensor, chunk: Tensor, *, draws: int, generator: torch.Generator) -> Tensor:
    """Return the flow-matching loss: per sample one time, drawn early more often, and `draws` noises that share it."""
    n, device = chunk.shape[0], chunk.device
    # t = 1 - Beta(1.5, 1): pi0's schedule in our direction of time.
    t = 1.0 - torch.rand(n, generator=generator, device=device).pow(1 / 1.5) * 0.999
    noise = torch.randn((draws, *chunk.shape), generator=generator, device=device)
    x = t[:, None, None] * chunk + (1 - t[:, None, None]) * noise
    with half_precision(device):
        v = net.head(x, net.head.condition(features, t))
    return F.mse_loss(v.float(), chunk - noise)


def disturb(vision: Tensor, spread: Tensor, generator: torch.Generator, *, slots: int) -> Tensor:
    """Return vision vectors with what identifies a scene blurred, so that few scenes are not learned by heart.

    Positions get `POSITION_NOISE`; what things look like gets noise of half its spread, and is hidden for some things.

    Args:
        vision: [N, Z].
        spread: standard deviation of each number, [Z].
        generator: of the noise.
        slots: objects times cameras, which come first.
    """
    n, count, device = len(vision), slots * SLOT_IN, vision.device
    noise = torch.randn(vision.shape, generator=generator, device=device) * spread * 0.5
    places = noise[:, :count].view(n, -1, SLOT_IN)
    places[..., :2] = torch.randn(places[..., :2].shape, generator=generator, device=device) * POSITION_NOISE
    places[..., 2] = 0.0
    disturbed = vision + noise
    hidden = torch.rand(n, slots, 1, generator=generator, device=device) < LOOKS_HIDDEN
    looks = disturbed[:, :count].view(n, -1, SLOT_IN)[..., 3:]
    looks.masked_fill_(hidden, 0.0)
    overview = disturbed[:, count:]
    overview.masked_fill_(torch.rand(n, 1, generator=generator, device=device) < LOOKS_HIDDEN, 0.0)
    return disturbed


def pointing_loss(log_heat: dict[str, Tensor], uv: Tensor, visible: Tensor) -> Tensor:
    """Return the cross-entropy of each concept's cell in each image, or of "not there"."""
    losses = []
    for j, camera in enumerate(log_heat):
        at, is_seen = uv[:, :, j] * GRID - 0.5, visible[:, :, j].bool()
        low = at.floor()
        fraction = at - low
        target = torch.zeros_like(log_heat[camera])
        for du in (0, 1):
            for dv in (0, 1):
                cell = (low + torch.tensor([du, dv], device=low.device)).clamp(0, GRID - 1).long()
                weight = (fraction[..., 0] if du else 1 - fraction[..., 0]) * (
                    fraction[..., 1] if dv else 1 - fraction[..., 1]
                )
                target.scatter_add_(2, (cell[..., 1] * GRID + cell[..., 0])[..., None], weight[..., None])
        target[..., -1] = 0
        target = target * is_seen[..., None]
        target[..., -1] = (~is_seen).float()
        losses.append(-(target * log_heat[camera]).sum(-1).mean())
    return torch.stack(losses).mean()


class Average:
    """Exponential average of a network's parameters and buffers."""

    def __init__(self, net: nn.Module, decay: float) -> None:
        self._decay = decay
        self.state = {k: v.detach().clone() for k, v in net.state_dict().items()}
        self.count = 0
        """Updates so far."""

    def update(self, net: nn.Module) -> None:
        """Take in the present weights."""
        self.count += 1
        decay = min(self._decay, self.count / (self.count + 10))
        for k, v in net.state_dict().items():
            if v.is_floating_point():
                self.state[k].lerp_(v, 1 - decay)
            else:
                self.state[k].copy_(v)


def learning_rate(step: int, settings: TrainSettings) -> float:
    """Return the rate at a step: linear warm-up, cosine to zero."""
    if step < settings.warmup:
        return settings.learning_rate * (step + 1) / settings.warmup
    share = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return settings.learning_rate * 0.5 * (1 + np.cos(np.pi * min(1.0, share)))


def train_see(
    net: GeneralistNet,
    samples: Samples,
    settings: TrainSettings,
    *,
    folder: Path,
    on_log: OnLog,
    seconds: float = 1e9,
) -> bool:
    """Train everything on images; return True when all steps are done, False when time ran out."""

    device = device_of(net)

    def loss_of(rows: Array, rng: np.random.Generator, generator: torch.Generator) -> dict[str, Tensor]:
        with half_precision(device):
            vision, heat = net.vision(samples.images(rows, device))
        point = pointing_loss(heat, samples.tensor("uv", rows, device), samples.tensor("visible", rows, device))
        features = net.context(vision, samples.words(rows, rng, device), *samples.seen(rows, device))
        chunk = samples.tensor("chunk", rows, device)
        flow = flow_loss(net, features, chunk, draws=settings.draws, generator=generator)
        return {"flow": flow, "point": point * 0.5}

    return _loop("see", net, loss_of, samples, settings, folder=folder, on_log=on_log, seconds=seconds)


def train_act(
    net: GeneralistNet,
    samples: Samples,
    vision: Tensor,
    settings: TrainSettings,
    *,
    folder: Path,
    on_log: OnLog,
    seconds: float = 1e9,
    stage: str = "act",
) -> bool:
    """Train context and head on stored vision vectors; see `train_see`. `stage` names the files ("act" or "mend")."""
    device = device_of(net)
    net.vision.requires_grad_(False)
    vision = vision.to(device)
    slots = len(net.design.cameras) * len(net.design.concepts)
    spread = vision[:: max(1, len(vision) // 10_000)].float().std(dim=0)

    def loss_of(rows: Array, rng: np.random.Generator, generator: torch.Generator) -> dict[str, Tensor]:
        z = disturb(vision[torch.from_numpy(rows).to(device)].float(), spread, generator, slots=slots)
        features = net.context(z, samples.words(rows, rng, device), *samples.seen(rows, device))
        chunk = samples.tensor("chunk", rows, device)
        flow = flow_loss(net, features, chunk, draws=settings.draws, generator=generator)
        return {"flow": flow}

    return _loop(stage, net, loss_of, samples, settings, folder=folder, on_log=on_log, seconds=seconds)


@torch.no_grad()
def store_vision(net: GeneralistNet, samples: Samples, *, on_log: OnLog, batch: int = 256) -> Tensor:
    """Return the frozen vision vector of every sample, float16, on the CPU."""
    net.eval()
    device, parts, began = device_of(net), [], time.monotonic()
    for start in range(0, len(samples), batch):
        rows = np.arange(start, min(start + batch, len(samples)))
        parts.append(net.vision(samples.images(rows, device))[0].half().cpu())
        done = start + len(rows)
        if len(parts) % _VISION_LOG_EVERY == 0 or done == len(samples):
            left = (time.monotonic() - began) / done * (len(samples) - done)
            on_log(Log("vision", done, len(samples), {}, left))
    return torch.cat(parts)


def _loop(
    stage: str,
    net: GeneralistNet,
    loss_of: Callable[[Array, np.random.Generator, torch.Generator], dict[str, Tensor]],
    samples: Samples,
    settings: TrainSettings,
    *,
    folder: Path,
    on_log: OnLog,
    seconds: float,
) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    parameters = [p for p in net.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(
        parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, betas=(0.9, 0.98), fused=True
    )
    average = Average(net, settings.average)
    state_file = folder / f"{stage}_last.safetensors"
    first, losses_so_far = 0, Losses()
    if state_file.exists():
        first, losses_so_far = _restore(state_file, net, optimiser, average)
    began, recent, device = time.monotonic(), [], device_of(net)
    net.train()
    if stage != "see":
        net.vision.eval()
    for step in range(first, settings.steps):
        rng = np.random.default_rng([settings.seed, step])
        generator = torch.Generator(device).manual_seed(settings.seed * 1_000_003 + step)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, settings)
        losses = loss_of(samples.draw(rng, settings.batch), rng, generator)
        optimiser.zero_grad(set_to_none=True)
        sum(losses.values()).backward()  # type: ignore[union-attr]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        average.update(net)
        recent.append({k: v.item() for k, v in losses.items()})
        is_last, is_out_of_time = step + 1 == settings.steps, time.monotonic() - began > seconds
        if (step + 1) % LOG_EVERY == 0 or is_last:
            means = {k: float(np.mean([r[k] for r in recent])) for k in recent[0]}
            losses_so_far.append((step + 1, means))
            pace = (time.monotonic() - began) / (step + 1 - first)
            on_log(Log(stage, step + 1, settings.steps, means, pace * (settings.steps - step - 1)))
            recent = []
        if (step + 1) % KEEP_EVERY == 0 or is_last or is_out_of_time:
            _keep(state_file, net, optimiser, average, losses_so_far)
            save_file(average.state, folder / f"{stage}.safetensors")
            told = {"step": average.count, **asdict(settings), "losses": losses_so_far}
            (folder / f"{stage}.json").write_text(json.dumps(told))
        if is_out_of_time and not is_last:
            return False
    net.load_state_dict(average.state)
    return True


def _keep(file: Path, net: nn.Module, optimiser: torch.optim.Optimizer, average: Average, losses: Losses) -> None:
    tensors = {f"net.{k}": v for k, v in net.state_dict().items()} | {f"avg.{k}": v for k, v in average.state.items()}
    for i, state in optimiser.state_dict()["state"].items():
        tensors |= {f"opt.{i}.{k}": v.clone() for k, v in state.items()}
    temporary = file.with_suffix(".tmp")
    metadata = {"step": str(average.count), "losses": json.dumps(losses)}
    save_file({k: v.contiguous() for k, v in tensors.items()}, temporary, metadata=metadata)
    temporary.replace(file)


def _restore(file: Path, net: nn.Module, optimiser: torch.optim.Optimizer, average: Average) -> tuple[int, Losses]:
    from safetensors import safe_open

    tensors = read_tensors(file)
    net.load_state_dict({k[4:]: v for k, v in tensors.items() if k.startswith("net.")})
    average.state.update({k[4:]: v.clone() for k, v in tensors.items() if k.startswith("avg.")})
    state: dict[int, dict[str, Tensor]] = {}
    for k, v in tensors.items():
        if k.startswith("opt."):
            _, i, name = k.split(".")
            state.setdefault(int(i), {})[name] = v
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    with safe_open(plain_file(file), "pt") as f:
        metadata = f.metadata()
    average.count = int(metadata["step"])
    return average.count, [(step, means) for step, means in parse_json(metadata["losses"])]
