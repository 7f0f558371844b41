"""Reversal Q-Learning against the authors' numbers, and what must hold of it whatever the numbers."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from frs_core.errors import ConfigError
from frs_core.learning.rql import Draws, Rql, RqlConfig, Windows

FIXTURES = Path(__file__).parents[1] / "fixtures" / "rql"
UPDATES = 50


def fixture(name: str, kind: torch.dtype) -> tuple[dict[str, Tensor], RqlConfig]:
    """Return the authors' numbers and the configuration they are of."""
    with safe_open(FIXTURES / f"{name}.safetensors", framework="pt") as file:
        facts = file.metadata()
        data = {key: file.get_tensor(key).to(kind) for key in file.keys()}  # noqa: SIM118
    config = RqlConfig(
        alpha=float(facts["alpha"]),
        expectile=float(facts["expectile"]),
        pessimism=float(facts["rho"]),
        discount=float(facts["discount"]),
        hidden=tuple(map(int, facts["hidden"].split(","))),
        heads=int(facts["heads"]),
    )
    return data, config


def part(data: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors under a prefix."""
    return {key.removeprefix(prefix): value for key, value in data.items() if key.startswith(prefix)}


def window(data: dict[str, Tensor], update: int) -> Windows:
    """Return the authors' [h + 1, B] rows as ours."""
    rows = {key: value[update].transpose(0, 1) for key, value in part(data, "windows.").items()}
    return Windows(
        observation=rows["observations"][:, 0],
        following=rows["observations"][:, -1],
        actions=rows["actions"][:, :-1],
        rewards=rows["rewards"][:, :-1],
        ends=rows["terminals"][:, :-1],
        goes_on=rows["masks"][:, -2],
    )


def agent(data: dict[str, Tensor], config: RqlConfig) -> Rql:
    """Return an agent with the authors' first weights."""
    seen = data["seen"]
    network = Rql(config, observation_size=seen.shape[1], action_size=data["seen_noise"].shape[1]).to(seen.dtype)
    network.load_state_dict(part(data, "before."))
    return network


@pytest.mark.parametrize("name", ["small", "chunked"])
@pytest.mark.parametrize(
    ("kind", "tolerance", "heads"),
    [
        # Adam divides by the size of a gradient: one rounding of a small gradient is a step of up to the learning rate, hence
        # the wider limit for V's heads in single precision. In double precision nothing but the formulas can differ.
        (torch.float64, 1e-9, 1e-9),
        (torch.float32, 1e-5, 1e-4),
    ],
)
def test_fifty_updates_give_the_authors_numbers(name: str, kind: torch.dtype, tolerance: float, heads: float) -> None:
    data, config = fixture(name, kind)
    network = agent(data, config)
    optimiser = network.optimiser()
    for update in range(UPDATES):
        drawn = Draws(**{key: value[update] for key, value in part(data, "draws.").items()})
        losses = network.update(optimiser, window(data, update), drawn)
        reported = torch.stack(
            [
                losses.critic.detach(),
                losses.cloning.detach(),
                -losses.climb.detach(),
                losses.values.mean(),
                losses.values.max(),
                losses.values.min(),
            ]
        )
        torch.testing.assert_close(reported, data["losses"][update], rtol=tolerance, atol=tolerance)
    for key, value in part(data, "after.").items():
        limit = heads if "value" in key else tolerance
        torch.testing.assert_close(
            network.state_dict()[key], value, rtol=0.0, atol=limit, msg=lambda m, k=key: f"{k}: {m}"
        )
    chunks = network.act(data["seen"], data["seen_noise"])
    torch.testing.assert_close(chunks, data["chunks"], rtol=0.0, atol=tolerance)


def made_up(*, rows: int = 6, ends: list[float] | None = None) -> tuple[Rql, Windows, Draws]:
    """Return a small agent, windows of three rows, and draws."""
    torch.manual_seed(0)
    network = Rql(RqlConfig(hidden=(16, 16), heads=3), observation_size=4, action_size=6)
    windows = Windows(
        observation=torch.randn(rows, 4),
        following=torch.randn(rows, 4),
        actions=torch.rand(rows, 3, 2),
        rewards=torch.randn(rows, 3),
        ends=torch.tensor([ends or [0.0, 0.0, 0.0]] * rows),
        goes_on=torch.ones(rows),
    )
    return network, windows, Draws.of(rows, 6, flow_steps=10)


def test_a_chunk_run_back_by_nothing_stays() -> None:
    network, windows, _ = made_up()
    chunk = windows.actions.flatten(1)
    x, t = network.reversed_from(windows.observation, chunk, torch.zeros(6))
    torch.testing.assert_close((x, t), (chunk, torch.ones(6, 1)))


def test_climbing_leaves_the_value_alone() -> None:
    network, windows, draws = made_up()
    network.losses(windows, draws).climb.backward()
    assert all(p.grad is None for p in network.value.parameters())
    assert all(p.grad is not None for p in network.actor.parameters())


def test_a_window_past_its_episode_neither_values_nor_climbs() -> None:
    network, windows, draws = made_up(ends=[1.0, 1.0, 1.0])
    losses = network.losses(windows, draws)
    assert (losses.critic.item(), losses.climb.item()) == (0.0, 0.0)
    assert losses.cloning.item() > 0.0


def test_the_flow_is_not_matched_to_windows_that_are_not_cloned() -> None:
    network, windows, draws = made_up()
    none = replace(windows, cloned=torch.zeros(len(windows.goes_on)))
    every = replace(windows, cloned=torch.ones(len(windows.goes_on)))

    assert network.losses(none, draws).cloning == 0.0
    assert network.losses(none, draws).critic == network.losses(windows, draws).critic
    assert network.losses(every, draws).cloning == network.losses(windows, draws).cloning


@torch.no_grad()
def test_an_actor_that_predicts_the_chunk_gets_there_from_any_noise() -> None:
    config = RqlConfig(hidden=(16, 16), heads=2, predicts_chunk=True)
    network, wanted = Rql(config, observation_size=4, action_size=6), torch.linspace(-0.9, 0.9, 6)
    network.averaged_actor.weights[-1].zero_()
    network.averaged_actor.biases[-1].copy_(wanted.expand(1, 1, 6))

    chunks = network.act(torch.randn(5, 4), torch.randn(5, 6))

    torch.testing.assert_close(chunks, wanted.expand(5, 6))


def test_rewards_behind_the_end_do_not_count() -> None:
    network, windows, draws = made_up(ends=[1.0, 1.0, 1.0])
    other = replace(windows, rewards=windows.rewards + torch.tensor([0.0, 5.0, 5.0]))
    torch.testing.assert_close(network.target(other, draws.next_noise), network.target(windows, draws.next_noise))


def test_targets_stay_in_the_range_of_values() -> None:
    network, windows, draws = made_up()
    free = network.target(windows, draws.next_noise)
    assert float(free.max()) > 0.5
    network.config = replace(network.config, value_range=(-0.5, 0.5))
    torch.testing.assert_close(network.target(windows, draws.next_noise), free.clamp(-0.5, 0.5))


def test_values_can_start_at_nothing() -> None:
    network, windows, draws = made_up()
    network.value_nothing()
    losses = network.losses(windows, draws)
    assert not losses.values.any()
    losses.critic.backward()
    # The heads still learn different things.
    gradient = network.value.weights[-1].grad
    assert gradient is not None
    assert gradient.std(dim=0).max().item() > 0.0


def test_half_of_the_depths_lie_on_the_flows_own_steps() -> None:
    depth = Draws.of(1000, 1, flow_steps=4).depth
    assert set(depth[500:].tolist()) == {0.0, 0.25, 0.5, 0.75, 1.0}
    assert len(set(depth[:500].tolist())) > 400


def test_a_reachable_reward_is_climbed_to() -> None:
    torch.manual_seed(0)
    config = RqlConfig(
        hidden=(32, 32), heads=2, alpha=0.03, expectile=0.9, discount=0.0, average=0.9, learning_rate=3e-3
    )
    network = Rql(config, observation_size=1, action_size=1)
    optimiser = network.optimiser()
    for _ in range(300):
        actions = torch.rand(64, 1, 1) * 2.0 - 1.0
        blank = torch.zeros(64, 1)
        windows = Windows(blank, blank, actions, (actions > 0.5).float()[..., 0], blank, torch.ones(64))
        network.update(optimiser, windows, Draws.of(64, 1, flow_steps=10))
    chosen = network.act(torch.zeros(200, 1), torch.randn(200, 1))
    # One in four of what was done was rewarded.
    assert float((chosen > 0.5).float().mean()) > 0.6


@pytest.mark.parametrize(
    "wrong", [{"flow_steps": 0}, {"expectile": 1.0}, {"hidden": ()}, {"learning_rate": float("nan")}]
)
def test_numbers_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        RqlConfig(**wrong)  # type: ignore[arg-type]
