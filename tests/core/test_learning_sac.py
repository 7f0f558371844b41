"""Soft actor-critic in noise space: it finds a known optimum, explores as much as it is set to, and resumes exactly."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from frs_core.errors import ConfigError, TrainingError
from frs_core.learning import InputSettings, NetworkSettings
from frs_core.learning.bounds import Bounds
from frs_core.learning.critics import Critics, follow, lesser_of_two
from frs_core.learning.network import Inputs
from frs_core.learning.noise_parts import NoisePart
from frs_core.learning.sac import SPREAD, Cloning, Sac
from frs_core.learning.settings import DsrlFrsSettings, SacSettings
from frs_core.learning.transitions import Replay, Steps, steps_of
from frs_core.steering.methods import gaussian
from frs_core.testing.learner import synthetic_table

SMALL = SacSettings(
    inputs=InputSettings(noise=0.0),
    network=NetworkSettings(hidden=32, layers=2),
    critics=3,
    actor_rate=1e-2,
    critic_rate=1e-2,
    temperature_rate=0.03,
    temperature=0.01,
    target_share=0.02,
    batch_size=64,
)
WIDE = torch.tensor([3.0, 5.0])


def seen(rows: int) -> Inputs:
    return Inputs(torch.randn(rows, 3), torch.randn(rows, 2))


def agent(*, deviation: float = 0.5, settings: SacSettings = SMALL) -> Sac:
    torch.manual_seed(0)
    return Sac(settings, seen(200), Bounds(WIDE), deviation=deviation)


def optimum(inputs: Inputs) -> Tensor:
    """The noise that succeeds: the second number lies beyond the usual bounds, on the side that is seen."""
    return torch.stack([torch.ones(len(inputs.features)), 3.5 * torch.sign(inputs.features[:, 0])], dim=1)


def one_chunk(sac: Sac, rows: int) -> Steps:
    """Episodes of one chunk, tried by the actor itself: the nearer to the optimum, the likelier a success."""
    inputs = seen(rows)
    with torch.no_grad():
        action = sac.actor.draw(inputs).action
    reward = torch.exp(-0.05 * (action - optimum(inputs)).square().sum(dim=1))
    return Steps(inputs, action, reward, inputs, torch.zeros(rows, dtype=torch.bool))


def test_a_bandit_in_noise_space_reaches_the_known_optimum() -> None:
    sac = agent(deviation=1.0)
    replay = Replay()
    for _ in range(14):
        replay.add(one_chunk(sac, 50))
        for _ in range(18):
            batch = replay.batch(SMALL.batch_size)
            sac.improve_critics(batch)
            sac.improve_actor(batch.inputs)
    sac.actor.eval()
    inputs = seen(100)
    clear = inputs.features[:, 0].abs() > 0.3
    with torch.no_grad():
        error = (sac.actor.best(inputs) - optimum(inputs))[clear].abs().mean(dim=0)
    assert (error < 0.9).all(), f"it errs by {error.tolist()}, at the start by 1 and 3.5"


@pytest.mark.parametrize("deviation", [0.1, 1.0])
def test_curiosity_arrives_at_its_target_in_the_units_of_the_action(
    deviation: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    sac = agent(deviation=0.4)
    sac.target_entropy = 2 * (SPREAD + math.log(deviation))
    monkeypatch.setattr(sac, "value", lambda inputs, action: -0.2 * action.square().sum(dim=1)[None])
    for _ in range(200):
        sac.improve_actor(seen(64))
    sac.actor.eval()
    with torch.no_grad():
        entropy = -float(sac.actor.draw(seen(2000)).log_density.mean())
    assert entropy == pytest.approx(sac.target_entropy, abs=0.4)


def test_a_whole_noise_does_not_make_the_actor_wild() -> None:
    settings = DsrlFrsSettings(inputs=InputSettings(noise=0.0))
    torch.manual_seed(0)
    inputs = seen(64)
    sac = Sac(settings, inputs, Bounds.same(15.0, 112), deviation=0.4)
    for _ in range(50):
        sac.improve_actor(inputs, Cloning(inputs, torch.zeros(64, 112), settings.clone))
    sac.actor.eval()
    with torch.no_grad():
        drawn = sac.actor.draw(inputs)
    assert float((drawn.action - drawn.best).std()) < 0.6


def test_a_fresh_actor_acts_as_the_generalist_does_by_itself() -> None:
    sac = agent(deviation=0.3)
    sac.actor.eval()
    with torch.no_grad():
        drawn = sac.actor.draw(seen(4000))
    assert drawn.action.std(dim=0).numpy() == pytest.approx([0.3, 0.3], abs=0.03)
    assert drawn.best.abs().max() < 0.1
    assert -float(drawn.log_density.mean()) == pytest.approx(sac.target_entropy, abs=0.1)


def test_the_density_of_a_bounded_action_sums_to_one() -> None:
    bounds = Bounds(torch.tensor([2.0]))
    raw = torch.linspace(-9.0, 9.0, 20001)[:, None]
    values = bounds.squash(raw)[:, 0]
    density = torch.exp(-0.5 * raw[:, 0] ** 2 - 0.5 * math.log(2 * math.pi) - bounds.log_slope(raw))
    assert float(torch.trapezoid(density, values)) == pytest.approx(1.0, abs=1e-3)


def test_values_carry_success_back_through_time_and_never_leave_zero_to_one() -> None:
    """Two chunks: the first leads to the second, the second succeeds; a third is given up for ever and is worth nothing."""
    settings = replace(SMALL, discount=0.5)
    sac = agent(settings=settings)
    places = Inputs(torch.eye(3), torch.zeros(3, 2))
    after = Inputs(torch.eye(3)[[1, 1, 2]], torch.zeros(3, 2))
    steps = Steps(places, torch.zeros(3, 2), torch.tensor([0.0, 1.0, 0.0]), after, torch.tensor([True, False, True]))
    sac.target_entropy = -math.inf
    for _ in range(250):
        sac.improve_critics(steps.rows(torch.randint(3, (30,))))
    sac.critics.eval()
    with torch.no_grad():
        values = sac.value(places, torch.zeros(3, 2)).mean(dim=0)
    assert values.numpy() == pytest.approx([0.5, 1.0, 0.0], abs=0.15)


def test_what_is_cloned_draws_the_actor_and_a_better_own_action_is_left_alone() -> None:
    sac = agent()
    inputs = seen(64)
    wanted = torch.tensor([2.0, -4.0]).expand(64, 2)
    for _ in range(60):
        sac.improve_actor(inputs, Cloning(inputs, wanted, weight=1.0))
    sac.actor.eval()
    with torch.no_grad():
        assert (sac.actor.best(inputs) - wanted).abs().mean() < 0.5
        own = sac.actor.best(inputs)
        worse = -torch.ones(64, 2)
    for _ in range(60):
        sac.improve_critics(
            Steps(
                inputs.rows(torch.arange(64).repeat(2)),
                torch.cat([own, worse]),
                torch.cat([torch.ones(64), torch.zeros(64)]),
                inputs.rows(torch.arange(64).repeat(2)),
                torch.zeros(128, dtype=torch.bool),
            )
        )
    sac.critics.eval()
    with torch.no_grad():
        left, whole = (sac.distance(Cloning(inputs, worse, 1.0, only_better=better)) for better in (True, False))
    assert left < 0.1 * whole


def test_a_stopped_agent_goes_on_bit_for_bit() -> None:
    def practise(sac: Sac, rounds: range) -> None:
        for i in rounds:
            torch.manual_seed(i)
            batch = one_chunk(sac, 32)
            sac.improve_critics(batch)
            sac.improve_actor(batch.inputs)

    whole, first, second = agent(), agent(), agent()
    practise(whole, range(12))
    practise(first, range(6))
    second.restore(first.state())
    practise(second, range(6, 12))
    for name, weights in whole.actor.state_dict().items():
        assert torch.equal(weights, second.actor.state_dict()[name]), name
    for name, weights in whole.critics.state_dict().items():
        assert torch.equal(weights, second.critics.state_dict()[name]), name
    assert torch.equal(whole.log_temperature, second.log_temperature)


def test_a_loss_that_is_not_finite_is_told() -> None:
    sac = agent()
    batch = one_chunk(sac, 8)
    with pytest.raises(TrainingError, match="not finite"):
        sac.improve_critics(replace(batch, action=batch.action * math.nan))


def test_bounds_hold_what_was_executed_number_by_number_and_are_never_tight() -> None:
    values = torch.cat([torch.linspace(-4.6, 4.6, 1001)[:, None], torch.linspace(-0.1, 0.1, 1001)[:, None]], dim=1)
    limit = Bounds.of(values, least=0.75).limit
    assert limit.tolist() == pytest.approx([1.2 * 0.98 * 4.6, 0.75], abs=0.01)
    assert Bounds(limit).squash(torch.full((1, 2), 50.0))[0].tolist() == pytest.approx(limit.tolist())
    with pytest.raises(TrainingError, match="at least one"):
        Bounds.of(values[:0], least=1.0)


def test_batches_are_half_from_before_and_half_from_practice() -> None:
    def marked(rows: int, mark: float) -> Steps:
        inputs = seen(rows)
        return Steps(inputs, torch.full((rows, 2), mark), torch.zeros(rows), inputs, torch.ones(rows, dtype=torch.bool))

    replay = Replay(marked(5, 1.0))
    assert (replay.batch(64).action == 1.0).all(), "without practice all are from before"
    replay.add(marked(3000, 2.0))
    replay.add(marked(10, 3.0))
    drawn = replay.batch(64)
    assert (drawn.count, int((drawn.action[:, 0] == 1.0).sum())) == (64, 32)
    assert replay.count == 3015
    with pytest.raises(TrainingError, match="no steps"):
        Replay().batch(4)


def test_the_lesser_of_two_heads_is_taken_and_the_target_follows() -> None:
    values = torch.tensor([[1.0, 5.0], [2.0, 4.0], [3.0, 3.0]])
    seen_pairs = {tuple(lesser_of_two(values).tolist()) for _ in range(50)}
    assert seen_pairs == {(1.0, 4.0), (1.0, 3.0), (2.0, 3.0)}
    source, target = (
        Critics(feature_size=3, proprio_size=2, action_size=2, heads=2, hidden=8, noise=0.0) for _ in range(2)
    )
    before = [p.clone() for p in target.parameters()]
    follow(target, source, 0.25)
    for old, new, aim in zip(before, target.parameters(), source.parameters(), strict=True):
        torch.testing.assert_close(new, 0.75 * old + 0.25 * aim)


@pytest.mark.parametrize("components", [1, 3, 16])
def test_a_chosen_part_of_a_noise_is_read_back_and_the_rest_stays(components: int) -> None:
    part = NoisePart.of(16, 7, columns=(0, 6), components=components)
    fresh, chosen = gaussian((4, 16, 9), seed=1), gaussian((4, part.numbers), seed=2)
    noise = part.compose(chosen, fresh)
    torch.testing.assert_close(part.read(noise), chosen)
    assert torch.equal(noise[:, :, [1, 2, 3, 4, 5, 7, 8]], fresh[:, :, [1, 2, 3, 4, 5, 7, 8]])
    rest = NoisePart.of(16, 7, columns=(0, 6), components=16)
    torch.testing.assert_close(rest.read(noise)[:, part.numbers :], rest.read(fresh)[:, part.numbers :])
    alone = part.compose(chosen, fresh, rest=0.0)
    torch.testing.assert_close(part.read(alone), chosen)
    torch.testing.assert_close(rest.read(alone)[:, part.numbers :], torch.zeros(4, rest.numbers - part.numbers))
    if components == 1:
        torch.testing.assert_close(noise.mean(dim=1)[:, [0, 6]] * 4.0, chosen)


def test_a_part_that_the_noise_does_not_have_is_refused() -> None:
    with pytest.raises(ConfigError, match="number 7"):
        NoisePart.of(16, 7, columns=(7,), components=1)
    with pytest.raises(ConfigError, match="16 rows"):
        NoisePart.of(16, 7, columns=(), components=17)
    assert NoisePart.of(16, 7, columns=(), components=None).numbers == 112


def test_steps_without_the_state_after_them_or_an_action_are_left_out() -> None:
    table = synthetic_table(episodes=2, chunks=3).with_outcomes([True, False])
    action = torch.from_numpy(table.noise.mean(axis=1))
    steps = steps_of(table, action, InputSettings())
    assert steps.count == 5, "the last chunk of the failure has no state after it"
    assert steps.reward.tolist() == [0, 0, 1, 0, 0]
    assert steps.goes_on.tolist() == [True, True, False, True, True]
    np.testing.assert_array_equal(steps.after.features[0], table.features[1])
    action[1] = math.nan
    assert steps_of(table, action, InputSettings()).count == 4
    with pytest.raises(ConfigError, match="cameras"):
        steps_of(table, action, InputSettings(cameras=("left",)))
    with pytest.raises(TrainingError, match="no outcomes"):
        steps_of(synthetic_table(), action, InputSettings())
