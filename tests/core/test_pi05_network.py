"""The pi0.5 network against LeRobot's and openpi's answers for the same tiny weights."""

import itertools

import pytest
import torch
from safetensors.torch import load_file

from frs_core.policies.pi05.fused import Fused
from frs_core.policies.pi05.layout import Layout
from frs_core.policies.pi05.model import Pi05Model
from frs_core.policies.pi05.sizes import FULL, problems_of, size_of
from frs_core.policies.pi05.weights import FileSource, RandomSource, read_header
from frs_core.steering import flow
from tests.fakes.pi05 import FIXTURE, HORIZON
from tests.rounding import bound

CPU, SINGLE = torch.device("cpu"), torch.float32
THEIR_TIMES = (0.0, 0.1, 0.5, 0.9, 1.0)
TOLERANCE = bound(sums=160, layers=6)
"""One evaluation: two layers of three products each."""

pytestmark = pytest.mark.usefixtures("_no_gradients")


@pytest.fixture
def _no_gradients():
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def model() -> Pi05Model:
    path = FIXTURE / "weights.safetensors"
    shapes = {name.removeprefix("model."): shape for name, shape in read_header(path).items()}
    with torch.inference_mode():
        return Pi05Model(FileSource(path, device=CPU, dtype=SINGLE), size_of(shapes))


@pytest.fixture(scope="module")
def inputs() -> dict[str, torch.Tensor]:
    return load_file(FIXTURE / "inputs.safetensors")


@pytest.fixture(params=["lerobot", "openpi"])
def theirs(request: pytest.FixtureRequest) -> dict[str, torch.Tensor]:
    return load_file(FIXTURE / f"{request.param}_outputs.safetensors")


def encode(model: Pi05Model, inputs: dict[str, torch.Tensor]):
    pictures = inputs["images"][:2].permute(0, 3, 1, 2).float() / 127.5 - 1.0
    return model.encode(pictures, inputs["tokens"])


def layout_for(model: Pi05Model, inputs, *, batch: int = 4, slots: int | None = None) -> Layout:
    return Layout(encode(model, inputs)[0], batch=batch, horizon=HORIZON, slots=slots)


def largest(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max())


def test_prefix_without_padding_equals_the_references_with_padding(model, inputs, theirs) -> None:
    pictures = inputs["images"][:2].permute(0, 3, 1, 2).float() / 127.5 - 1.0
    embeds = model.embed(pictures, inputs["tokens"])
    hidden, cache = model.prefix(embeds)
    assert largest(embeds, theirs["embeds"]) < TOLERANCE
    assert largest(hidden, theirs["prefix_hidden"]) < TOLERANCE
    assert largest(cache.keys[0], theirs["key_layer0"]) < TOLERANCE


def test_features_are_mean_and_last_valid_state(model, inputs, theirs) -> None:
    _, features = encode(model, inputs)
    expected = torch.cat([theirs["prefix_hidden"].mean(0), theirs["prefix_hidden"][-1]])
    assert largest(features, expected) < TOLERANCE


@pytest.mark.parametrize("slots", [None, 128])
def test_velocity_is_minus_theirs_at_the_mirrored_time(model, inputs, theirs, slots) -> None:
    layout = layout_for(model, inputs, slots=slots)
    for i, t in enumerate(THEIR_TIMES):
        v = model.velocity(layout, inputs["noise"], 1.0 - t)
        assert largest(v, -theirs["velocity"][i]) < TOLERANCE


@pytest.mark.parametrize("slots", [None, 128])
def test_ten_step_sample_equals_theirs(model, inputs, theirs, slots) -> None:
    layout = layout_for(model, inputs, slots=slots)
    sample = flow.denoise(lambda x, t: model.velocity(layout, x, t), inputs["noise"], steps=10)
    assert largest(sample, theirs["sample"]) < bound(sums=160, layers=6, evaluations=10)


def test_rows_do_not_influence_each_other(model, inputs) -> None:
    x = inputs["noise"]
    together = model.velocity(layout_for(model, inputs), x, 0.3)
    disturbed = x.clone()
    disturbed[1:] = 100.0 * torch.randn(x[1:].shape, generator=torch.Generator().manual_seed(0))
    assert largest(model.velocity(layout_for(model, inputs), disturbed, 0.3)[0], together[0]) < 1e-6
    alone = torch.cat([model.velocity(layout_for(model, inputs, batch=1), row[None], 0.3) for row in x])
    assert largest(alone, together) < TOLERANCE


def test_another_prefix_leaves_no_trace_in_a_reused_layout(model, inputs) -> None:
    long, _ = encode(model, inputs)
    pictures = inputs["images"][:1].permute(0, 3, 1, 2).float() / 127.5 - 1.0
    short, _ = model.encode(pictures, inputs["tokens"][:11])
    reused = Layout(long, batch=4, horizon=HORIZON, slots=128)
    model.velocity(reused, inputs["noise"], 0.5)
    reused.load(short)
    fresh = Layout(short, batch=4, horizon=HORIZON)
    got, expected = (model.velocity(where, inputs["noise"], 0.5) for where in (reused, fresh))
    assert largest(got, expected) < TOLERANCE


def test_round_trip_error_is_first_order_in_the_step(model, inputs) -> None:
    layout, x = layout_for(model, inputs), 0.3 * inputs["noise"]

    def error(steps: int) -> float:
        def field(x: torch.Tensor, t: float) -> torch.Tensor:
            return model.velocity(layout, x, t)

        noise = flow.reverse(field, x, steps=steps)
        return float((flow.denoise(field, noise, steps=steps) - x).square().mean().sqrt())

    errors = [error(steps) for steps in (20, 40, 80)]
    assert errors[0] > 1e-3
    for coarse, fine in itertools.pairwise(errors):
        assert 1.6 < coarse / fine < 2.4


def test_full_size_has_the_published_number_of_weights() -> None:
    # 1982 M Gemma layers, 527 M vocabulary, 414 M vision, 311 M expert, 116.5 M adaptive norms.
    assert FULL.parameters() == pytest.approx(3353e6, rel=0.001)


def test_random_weights_make_a_finite_field(model, inputs) -> None:
    random = Pi05Model(RandomSource(model.size, device=CPU, dtype=SINGLE), model.size)
    v = random.velocity(layout_for(random, inputs), inputs["noise"], 0.5)
    assert torch.isfinite(v).all()
    assert 0.01 < float(v.square().mean().sqrt()) < 100.0


def test_a_wrong_shape_a_missing_and_a_foreign_tensor_are_named(model) -> None:
    path = FIXTURE / "weights.safetensors"
    shapes = {name.removeprefix("model."): shape for name, shape in read_header(path).items()}
    assert problems_of(shapes, model.size) == []
    broken = dict(shapes)
    del broken["time_mlp_in.bias"]
    broken["action_out_proj.bias"] = (31,)
    broken["state_proj.weight"] = (64, 32)
    problems = " ".join(problems_of(broken, model.size))
    assert "'time_mlp_in.bias' is missing" in problems
    assert "'action_out_proj.bias' has shape (31,), expected (32,)" in problems
    assert "'state_proj.weight' (64, 32) is not part of pi0.5" in problems


@pytest.mark.slow
def test_compiled_pieces_equal_the_plain_ones() -> None:
    Fused.compiled().check(CPU, SINGLE)


def test_a_device_without_a_compiler_gets_the_plain_pieces() -> None:
    assert Fused.for_device(CPU, SINGLE) == Fused.plain()
    Fused.plain().check(CPU, SINGLE)
