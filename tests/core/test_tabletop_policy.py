"""The shipped generalist as a FlowPolicy: shapes, row independence, exact contexts, clear refusals."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from frs_core.candidates.fan import build_fan
from frs_core.errors import ConfigError, ShapeMismatch, WeightsMissing
from frs_core.making.generalist.training import pointing_loss
from frs_core.policies.generalist.network import GeneralistNet
from frs_core.policies.generalist.policy import Generalist
from frs_core.policies.generalist.vocabulary import UNKNOWN
from frs_core.policies.tabletop import DESIGN, language, load
from frs_core.steering.methods import SteeringPlan, gaussian
from frs_core.worlds.tabletop import TabletopWorld
from frs_core.worlds.tabletop.tasks import TASKS, find
from tests.rounding import bound


@pytest.fixture(scope="module")
def policy() -> Generalist:
    """A random network: everything here must hold whatever the weights are."""
    torch.manual_seed(0)
    net = GeneralistNet(DESIGN)
    for parameter in net.head.parameters():
        torch.nn.init.normal_(parameter, std=0.03)
    return Generalist(net, fingerprint="random", plan=SteeringPlan(components=1))


@pytest.fixture(scope="module")
def world() -> TabletopWorld:
    return TabletopWorld()


def test_rows_of_a_batch_are_independent(policy: Generalist, world: TabletopWorld) -> None:
    context = policy.encode(world.observe())
    noise = gaussian((5, 16, 7), seed=0)
    together = policy.denoise(context, noise)
    alone = torch.cat([policy.denoise(context, row[None]) for row in noise])

    # Ten steps through five blocks of two layers, the widest sum over 1,024 products.
    assert (together - alone).abs().max() < bound(sums=1024, layers=10, evaluations=10)


def test_features_rebuild_the_context_exactly(policy: Generalist, world: TabletopWorld) -> None:
    context = policy.encode(world.observe())
    noise = gaussian((1, 16, 7), seed=1)
    rebuilt = policy.context_from_features(context.features)

    assert torch.equal(policy.denoise(context, noise), policy.denoise(rebuilt, noise))


def test_instruction_and_pictures_both_matter(policy: Generalist, world: TabletopWorld) -> None:
    from dataclasses import replace

    observation = world.reset(task="mug_on_plate", seed=0)
    features = policy.encode(observation).features
    other_words = policy.encode(replace(observation, instruction="open the drawer")).features
    other_scene = policy.encode(replace(observation, frames=world.reset(task="mug_on_plate", seed=1).frames)).features

    assert np.abs(features - other_words).max() > 1e-4
    assert np.abs(features - other_scene).max() > 1e-4


def test_the_fan_of_a_real_world_has_every_candidate(policy: Generalist, world: TabletopWorld) -> None:
    observation = world.observe()
    fan = build_fan(policy, policy.encode(observation), observation, plan=policy.default_plan)

    assert len(fan.candidates) == 15
    assert all(np.isfinite(c.chunk).all() for c in fan.candidates)


def test_a_world_without_its_cameras_is_refused(policy: Generalist, world: TabletopWorld) -> None:
    from dataclasses import replace

    observation = world.observe()
    with pytest.raises(ConfigError, match="wrist"):
        policy.encode(replace(observation, frames={"left": observation.frames["left"]}))


def test_foreign_features_and_noises_are_refused(policy: Generalist, world: TabletopWorld) -> None:
    with pytest.raises(ShapeMismatch, match="another policy"):
        policy.context_from_features(np.zeros(3, dtype=np.float32))
    with pytest.raises(ShapeMismatch, match=r"policy\.spec"):
        policy.denoise(policy.encode(world.observe()), torch.zeros(1, 5, 7))


def test_missing_and_foreign_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="frs generalist make"):
        load(tmp_path / "nothing.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ConfigError, match="does not fit"):
        load(tmp_path / "foreign.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"\x00" * 40)
    with pytest.raises(ConfigError, match="not a safetensors file"):
        load(tmp_path / "broken.safetensors")


def test_every_instruction_of_a_trained_task_is_in_the_vocabulary() -> None:
    for task in TASKS.values():
        ids = DESIGN.vocabulary.tokenise(task.instruction)

        assert not (ids == UNKNOWN).any(), task.instruction


def test_unknown_words_read_as_unknown_and_long_texts_are_cut() -> None:
    ids = DESIGN.vocabulary.tokenise("frobnicate the mug " * 10)

    assert ids[0] == UNKNOWN
    assert len(ids) == DESIGN.vocabulary.longest


def test_descriptions_are_precise_vague_or_name_a_place_where_nobody_puts_that_object() -> None:
    rng = np.random.default_rng(0)
    word = {name: DESIGN.vocabulary.tokenise(name)[0] for name in DESIGN.concepts}
    drawn = [language.describe(rng, find("mug_on_plate")) for _ in range(1000)]
    share = {name: np.mean([index in ids for ids in drawn]) for name, index in word.items()}

    assert 0.6 < share["mug"] < 0.8
    assert 0.4 < share["plate"] < 0.6
    assert 0.15 < share["stand"] + share["drawer"] < 0.25  # its held-out places
    assert share["bowl"] == share["basket"] == 0.0


def test_the_pointing_loss_is_smallest_where_the_thing_is() -> None:
    uv = torch.full((1, len(DESIGN.concepts), 2, 2), 0.5)
    visible = torch.ones(1, len(DESIGN.concepts), 2)

    def heat(cell: int) -> dict[str, torch.Tensor]:
        logits = torch.zeros(1, len(DESIGN.concepts), 785)
        logits[..., cell] = 8.0
        return dict.fromkeys(("left", "wrist"), torch.log_softmax(logits, -1))

    assert pointing_loss(heat(14 * 28 + 14), uv, visible) < pointing_loss(heat(3), uv, visible)
