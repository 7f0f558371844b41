"""The fan: labels, verdicts, and that the unsteered candidate is what the policy would do."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.candidates.fan import build_fan, references_for
from frs_core.candidates.verdicts import noise_percentiles, verdicts
from frs_core.choosers.base import Judged, NoisePolicy, ValuingPolicy
from frs_core.errors import FingerprintMismatch, PolicyError, ShapeMismatch
from frs_core.policies.base import Context
from frs_core.robot import kinematics
from frs_core.robot.limits import Limits
from frs_core.robot.observation import Observation
from frs_core.robot.safety import ChunkCheck
from frs_core.steering.candidates import LEARNED, UNSTEERED, CandidateKind, Fan
from frs_core.steering.directions import Command, Direction, Gripper, fan_commands
from frs_core.steering.methods import Method, SteeringPlan, gaussian
from tests.fakes.policy import ToyPolicy, mode_of
from tests.fakes.world import PointWorld
from tests.regenerating import difference

PLANS = [
    SteeringPlan(components=1),
    SteeringPlan(),
    SteeringPlan(depth=6),
    SteeringPlan(method=Method.DIRECT),
    SteeringPlan(method=Method.PARTIAL_NOISING),
    SteeringPlan(method=Method.SAMPLE_AND_RANK),
    SteeringPlan(method=Method.FLOW_CONTROL),
]


class FixedNoise(NoisePolicy):
    name = "fixed"

    def __init__(self, noise: np.ndarray, fingerprint: str = "toy-1") -> None:
        self.policy_fingerprint = fingerprint
        self._noise = noise

    def noise(self, context: Context, observation: Observation) -> np.ndarray:
        return self._noise


def make(policy: ToyPolicy | None = None, **options: object) -> Fan:
    policy, world = policy or ToyPolicy(), PointWorld()
    observation = world.observe()
    plan = options.pop("plan", policy.default_plan)
    return build_fan(policy, policy.encode(observation), observation, plan=plan, **options)  # type: ignore[arg-type]


def test_fan_offers_unsteered_first_then_the_commands_then_the_learned_one() -> None:
    fan = make(noise_policy=FixedNoise(np.zeros((8, 7))))
    assert [c.label for c in fan.candidates] == [UNSTEERED, *(c.label for c in fan_commands()), LEARNED]


@pytest.mark.parametrize("plan", PLANS, ids=lambda p: f"{p.method.value}-{p.depth}-{p.components}")
def test_unsteered_candidate_is_the_denoised_seeded_noise_under_every_plan(plan: SteeringPlan) -> None:
    policy, world = ToyPolicy(), PointWorld()
    observation = world.observe()
    context = policy.encode(observation)
    own = policy.to_robot(policy.denoise(context, gaussian((1, 8, 7), seed=plan.seed), steps=plan.steps))[0]
    fan = build_fan(policy, context, observation, plan=plan)
    np.testing.assert_allclose(fan[UNSTEERED].chunk, own, atol=1e-6)


def test_every_candidate_regenerates_from_its_noise() -> None:
    policy, world = ToyPolicy(), PointWorld()
    observation = world.observe()
    context = policy.encode(observation)
    fan = build_fan(policy, context, observation, plan=policy.default_plan)
    assert max(difference(policy, context, c, fan.plan) for c in fan.candidates) < 1e-6


def test_a_padded_policy_gives_the_same_motion_as_an_unpadded_one() -> None:
    wide = make(ToyPolicy(width=12))
    assert wide["left/more"].noise.shape == (8, 12)
    assert wide["left/more"].chunk.shape == (8, 7)
    assert mode_of(wide["left/more"].chunk) is Direction.LEFT


def test_padding_is_never_commanded() -> None:
    _, batch = references_for(ToyPolicy(width=12), fan_commands(), observation=PointWorld().observe())
    assert not batch.commanded[:, 7:].any()
    assert not batch.x[:, :, 7:].any()


def test_gripper_strength_scales_ordered_grippers_alone() -> None:
    commands = (Command(Direction.LEFT), Command(None, gripper=Gripper.OPEN), Command(None, gripper=Gripper.CLOSE))
    observation = PointWorld().observe()
    _, plain = references_for(ToyPolicy(), commands, observation=observation)
    robot, strong = references_for(
        ToyPolicy(), commands, observation=observation, plan=SteeringPlan(gripper_strength=2)
    )
    assert torch.equal(strong.x[0], plain.x[0])
    assert torch.allclose(strong.x[1:, :, -1], 2 * plain.x[1:, :, -1])
    assert torch.equal(strong.x[..., :-1], plain.x[..., :-1])
    assert robot[1:, :, -1].min() >= 0
    assert robot[1:, :, -1].max() <= 1


def test_gripper_orders_reach_the_candidates() -> None:
    closed = make(gripper=Gripper.CLOSE)["left/more/close"]
    opened = make(gripper=Gripper.OPEN)["left/more/open"]
    assert closed.chunk[:, -1].min() > 0.8
    assert opened.chunk[:, -1].max() < 0.2


def test_steered_candidates_follow_their_direction_and_say_so() -> None:
    fan = make()
    for direction in Direction:
        candidate = fan[f"{direction.value}/more"]
        assert mode_of(candidate.chunk) is direction
        assert candidate.verdict.bent_mm < 15
        assert candidate.kind is CandidateKind.STEERED


def test_bent_and_authority_are_the_geometry_they_claim() -> None:
    fan = make()
    own, asked, got = (
        fan[UNSTEERED].path[4],
        fan["up/more"].reference_path[4],
        fan["up/more"].path[4],
    )
    verdict = fan["up/more"].verdict
    assert verdict.bent_mm == pytest.approx(np.linalg.norm(asked - got) * 1000, rel=1e-5)
    along = (got - own) @ (asked - own) / ((asked - own) @ (asked - own))
    assert verdict.authority == pytest.approx(np.clip(along, 0, 1), rel=1e-5)


def test_workspace_and_table_are_warned_of_before_they_are_hit() -> None:
    p = PointWorld().observe().p_tcp
    limits = Limits(p - 0.03, p + 0.03, kinematics.Q_LOW, kinematics.Q_HIGH, table_height=float(p[2]) - 0.03)
    fan = make(limits=limits)
    assert fan["left/more"].verdict.leaves_workspace
    assert fan["down/more"].verdict.hits_table
    assert fan["down/more"].verdict.warnings[0] == "Hits the table in row 2"
    assert not fan["up/more"].verdict.hits_table


def test_an_unusual_noise_is_no_warning_and_no_authority_is_one_unless_nothing_has_any() -> None:
    checks = [ChunkCheck(False, False, False, False, ())] * 6
    own, asked = np.zeros((6, 5, 3)), np.zeros((5, 5, 3))
    asked[:, 4, 0] = own[1, 4, 0] = 0.1
    own[2:, 4, 0] = [0.05, 0.002, 0.08, 0.03]

    def warned(paths: np.ndarray) -> list[tuple[str, ...]]:
        return [v.warnings for v in verdicts(paths, asked, np.full(6, 100.0), checks, rows=4)]

    assert warned(own) == [(), (), (), ("No authority here",), (), ()]
    assert warned(np.zeros((6, 5, 3))) == [()] * 6


def test_noise_percentile_is_the_share_of_smaller_gaussian_draws() -> None:
    draws = torch.randn(4000, 8, 7, generator=torch.Generator().manual_seed(1)).numpy()
    commanded = np.zeros((4000, 7), dtype=bool)
    commanded[:, :3] = True
    percentiles = noise_percentiles(draws, commanded, is_start=np.ones(4000, dtype=bool))
    assert np.abs(np.quantile(percentiles, [0.1, 0.5, 0.9]) - [10, 50, 90]).max() < 2.5


@pytest.mark.parametrize("plan", [SteeringPlan(depth=6), SteeringPlan(method=Method.DIRECT)])
def test_methods_without_a_noise_have_no_percentile(plan: SteeringPlan) -> None:
    assert math.isnan(make(plan=plan)["left/more"].verdict.noise_percentile)


def test_a_noise_policy_of_another_generalist_is_refused() -> None:
    with pytest.raises(FingerprintMismatch, match="was trained for policy other"):
        make(noise_policy=FixedNoise(np.zeros((8, 7)), fingerprint="other"))


def test_a_noise_policy_with_the_wrong_shape_or_numbers_is_refused() -> None:
    with pytest.raises(ShapeMismatch, match=r"needs \(8, 7\)"):
        make(noise_policy=FixedNoise(np.zeros((4, 7))))
    with pytest.raises(PolicyError, match="non-finite"):
        make(noise_policy=FixedNoise(np.full((8, 7), np.nan)))


def test_a_policy_that_cannot_steer_still_offers_its_own_candidate() -> None:
    policy = ToyPolicy()
    policy.spec = dataclasses.replace(policy.spec, can_steer=False)
    fan = make(policy)
    assert [c.label for c in fan.candidates] == [UNSTEERED]


def test_an_encoding_that_is_not_finite_is_an_error_and_never_an_answer() -> None:
    with pytest.raises(PolicyError, match="2 of 8 features that are not finite"):
        Context(None, np.array([0.0, np.nan, 1, 2, np.inf, 3, 4, 5], dtype=np.float32), 0)


class UpIsBest(ValuingPolicy):
    """Values a noise by how far up it goes; its own draws go down."""

    name, policy_fingerprint = "critic", "toy-1"

    def commands(self, observation: Observation) -> tuple[Command, ...]:
        return fan_commands()

    def draws(self, context: Context, observation: Observation) -> Float[Array, "N H A"]:
        return np.full((3, 8, 7), -9.0, np.float32)

    def judge(self, context: Context, observation: Observation, noises: Float[Array, "B H A"]) -> Judged:
        values = noises[:, :, 2].mean(axis=1)
        return Judged(values, int(np.nanargmax(values)))


def test_a_critic_takes_the_best_of_the_fan_and_tells_what_each_is_worth() -> None:
    for commands in (None, ()):
        fan = make(noise_policy=UpIsBest(), commands=commands)
        assert [c.label for c in fan.candidates] == [UNSTEERED, *(c.label for c in fan_commands()), LEARNED]
        best = max(fan.candidates[:-1], key=lambda c: c.value)
        assert best.label == "up/more"
        np.testing.assert_array_equal(fan[LEARNED].noise, best.noise)
        np.testing.assert_array_equal(fan[LEARNED].chunk, best.chunk)
        assert fan[LEARNED].value == best.value
    assert math.isnan(make(noise_policy=FixedNoise(np.zeros((8, 7))))[UNSTEERED].value)


def test_a_critic_takes_its_own_draws_where_steering_knows_no_noise() -> None:
    fan = make(plan=SteeringPlan(depth=4), noise_policy=UpIsBest(), commands=(Command(Direction.UP),))
    assert math.isnan(fan["up/more"].value)
    assert fan[LEARNED].value == fan[UNSTEERED].value
