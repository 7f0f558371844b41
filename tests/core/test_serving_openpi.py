"""The one-file server for openpi checkouts: alone, equal to the product's steering, and as hard to break."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from websockets.sync.client import connect

from frs_core.errors import ConfigError
from frs_core.policies import remote
from frs_core.robot.actions import ActionKind
from frs_core.serving import openpi_server, websocket_server
from frs_core.serving.openpi_server import ServerSettings, Service, WebsocketServer, read_plan
from frs_core.steering import flow
from frs_core.steering.methods import Fill, Method, Reference, Solver, SteeringPlan, gaussian, steer
from frs_core.wire import codec
from frs_core.wire.metadata import DROID_OBSERVATION, build_metadata, droid_space
from frs_core.wire.observations import blank_droid_message
from tests.fakes.policy import ToyPolicy
from tests.fakes.world import PointWorld
from tests.waiting import LONG_S

TOY = ToyPolicy(cameras=("left", "wrist"), width=12)


class ToyField:
    """The toy policy's velocity behind the one-file server's interface."""

    def __init__(self) -> None:
        self._context = TOY.encode(PointWorld().observe())

    def _velocity(self, x: torch.Tensor, t: float) -> torch.Tensor:
        return TOY.velocity(self._context, x, t)

    def velocity(self, x: np.ndarray, t: float) -> np.ndarray:
        return self._velocity(torch.from_numpy(x), t).numpy()

    def denoise(self, x: np.ndarray, *, steps: int, depth: int) -> np.ndarray:
        return flow.denoise(self._velocity, torch.from_numpy(x), steps=steps, depth=depth).numpy()

    def reverse(self, x: np.ndarray, *, steps: int, depth: int, t_max: float) -> np.ndarray:
        return flow.reverse(self._velocity, torch.from_numpy(x), steps=steps, depth=depth, t_max=t_max).numpy()

    def invert(self, x: np.ndarray, *, steps: int, iterations: int, damping: float) -> np.ndarray:
        x_t = torch.from_numpy(x)
        return flow.invert(self._velocity, x_t, steps=steps, iterations=iterations, damping=damping).numpy()


class ToyModel:
    """A model the one-file server can serve without openpi."""

    horizon, width, steps = TOY.spec.horizon, TOY.spec.width, 10

    def __init__(self) -> None:
        spec = replace(TOY.spec, action_space=droid_space(ActionKind.JOINT_VELOCITY), image_size=(224, 224))
        self.metadata = build_metadata(spec, TOY.default_plan)
        self.metadata["frs"]["observation"] = DROID_OBSERVATION
        self.seen: list[dict[str, Any]] = []

    def infer(self, observation: dict[str, Any], noise: np.ndarray | None) -> dict[str, Any]:
        self.seen.append(observation)
        start = gaussian((1, self.horizon, self.width), seed=0).numpy() if noise is None else noise
        return {"actions": ToyField().denoise(start, steps=10, depth=10)[0, :, :8]}

    def encode(self, observation: dict[str, Any]) -> tuple[ToyField, np.ndarray]:
        self.seen.append(observation)
        return ToyField(), np.arange(8, dtype=np.float32)


@pytest.fixture
def model() -> ToyModel:
    return ToyModel()


@pytest.fixture
def server(model: ToyModel) -> Iterator[WebsocketServer]:
    with WebsocketServer(Service(model).handle, model.metadata, ServerSettings(port=0)).running() as server:
        yield server


def marked(module: Any, mark: str) -> str:
    text = Path(module.__file__).read_text()
    return text[text.index(f"# <{mark}>") : text.index(f"# </{mark}>")]


@pytest.mark.parametrize(("module", "mark"), [(codec, "codec"), (websocket_server, "websocket_server")])
def test_the_one_file_carries_codec_and_door_word_for_word(module: Any, mark: str) -> None:
    assert marked(openpi_server, mark) == marked(module, mark), f"copy the part marked <{mark}> from {module.__file__}"


def test_the_one_file_imports_nothing_of_the_product_nor_openpi_until_it_is_run() -> None:
    path = Path(openpi_server.__file__)
    code = (
        "import runpy, sys; sys.modules['frs_core'] = None; sys.modules['jax'] = None; sys.modules['torch'] = None;"
        f"names = runpy.run_path({str(path)!r}); print(names['Service'].__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LONG_S, cwd=path.anchor)
    assert done.stdout == "Service\n", done.stderr


@pytest.mark.parametrize(("words", "has_stack"), [([], False), (["--verbose"], True)])
def test_what_stops_the_one_file_is_one_line_and_a_stack_where_it_is_asked_for(
    words: list[str], has_stack: bool
) -> None:
    path = Path(openpi_server.__file__)
    code = f"import runpy, sys; sys.modules['openpi'] = None; sys.argv[0] = 'x'; runpy.run_path({str(path)!r}, run_name='__main__')"
    asked = [sys.executable, "-c", code, "--config", "pi05_droid", "--dir", "nowhere", *words]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=LONG_S, cwd=path.anchor)
    assert done.returncode == 1
    assert ("Traceback" in done.stderr) is has_stack
    if not has_stack:
        assert done.stderr.startswith("openpi_server.py: ModuleNotFoundError: ")
        assert done.stderr.count("\n") == 1


def references() -> Reference:
    rng = np.random.default_rng(0)
    commanded = np.zeros((5, TOY.spec.width), dtype=bool)
    commanded[:, :3] = True
    commanded[2:, 6] = True
    x = rng.normal(size=(5, TOY.spec.horizon, TOY.spec.width)).astype(np.float32)
    return Reference(torch.from_numpy(x), torch.from_numpy(commanded))


@pytest.mark.parametrize(
    "plan",
    [
        SteeringPlan(),
        SteeringPlan(components=1, seed=5),
        SteeringPlan(components=3, fill=Fill.NOISE, fill_scale=0.7, seed=2),
        SteeringPlan(components=2, clamp=0.8),
        SteeringPlan(depth=4, steps=8, t_max=0.999),
        SteeringPlan(leave_uncommanded=False),
        SteeringPlan(solver=Solver.FIXED_POINT, iterations=6, damping=0.8),
        SteeringPlan(method=Method.DIRECT),
        SteeringPlan(method=Method.PARTIAL_NOISING, noising_time=0.3),
        SteeringPlan(method=Method.SAMPLE_AND_RANK, samples=9, seed=3),
        SteeringPlan(method=Method.FLOW_CONTROL, control_rows=3),
    ],
)
def test_its_numpy_steering_equals_the_products(plan: SteeringPlan) -> None:
    """In float64, so that only the two codes can differ: what float32 rounds is up to the processor."""
    single = references()
    reference = Reference(single.x.double(), single.commanded)
    context = TOY.encode(PointWorld().observe())
    expected = steer(lambda x, t: TOY.velocity(context, x, t), reference, plan)
    settings = read_plan(json.dumps(plan.to_json()), candidates=5)
    got = openpi_server.steer(ToyField(), reference.x.numpy(), reference.commanded.numpy(), settings)
    for ours, theirs in zip(got, (expected.noise, expected.chunk, expected.recovered), strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=1e-10)
    got = openpi_server.steer(ToyField(), single.x.numpy(), single.commanded.numpy(), settings)
    assert {array.dtype for array in got} == {np.dtype(np.float32)}


def test_its_plan_has_the_products_settings_and_defaults() -> None:
    assert vars(read_plan("{}", candidates=1)) == SteeringPlan().to_json()


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "[]",
        "[" * 5000,
        '{"steps": 0}',
        '{"steps": 1.5}',
        '{"steps": 1000000}',
        '{"depth": 11}',
        '{"clamp": -1}',
        '{"t_max": NaN}',
        '{"method": "magic"}',
        '{"seed": true}',
        '{"colour": 1}',
        '{"steps": 5, "steps": 6}',
    ],
)
def test_a_nonsensical_plan_is_refused(text: str | None) -> None:
    with pytest.raises(openpi_server.MalformedMessage):
        read_plan(text, candidates=1)


def test_our_client_steers_it_through_openpis_droid_keys(server: WebsocketServer, model: ToyModel) -> None:
    policy = remote.load(f"ws://127.0.0.1:{server.port}", exterior="right", wrist="wrist")
    assert policy.spec.can_steer
    assert policy.spec.cameras == ("right", "wrist")
    context = policy.encode(PointWorld().observe())
    assert set(model.seen[-1]) == set(blank_droid_message())
    np.testing.assert_array_equal(context.features, np.arange(8))
    reference, plan = references(), policy.default_plan
    local = TOY.encode(PointWorld().observe())
    expected = steer(lambda x, t: TOY.velocity(local, x, t), reference, plan)
    # Two float32 codes through a flow that magnifies what they round; their equality is tested in float64 above.
    torch.testing.assert_close(policy.steer(context, reference, plan).chunk, expected.chunk, atol=1e-3, rtol=0)
    noise = gaussian((2, policy.spec.horizon, policy.spec.width), seed=1)
    torch.testing.assert_close(policy.denoise(context, noise), TOY.denoise(local, noise), atol=1e-6, rtol=0)
    v = policy.velocity(context, noise, 0.25)
    torch.testing.assert_close(v, TOY.velocity(local, noise, 0.25), atol=1e-6, rtol=0)
    policy.close()


def test_a_stock_client_gets_openpis_own_answer_and_may_bring_noise(server: WebsocketServer, model: ToyModel) -> None:
    noise = gaussian((model.horizon, model.width), seed=4).numpy()
    with connect(f"ws://127.0.0.1:{server.port}", compression=None, proxy=None) as client:
        client.recv(timeout=LONG_S)
        for message in (blank_droid_message(), blank_droid_message() | {"noise": noise}):
            client.send(codec.pack(message))
            data = client.recv(timeout=LONG_S)
            assert isinstance(data, bytes)
            assert codec.unpack(data)["actions"].shape == (8, 8)
            assert set(model.seen[-1]) == set(blank_droid_message())


def test_it_wants_a_token_off_loopback_too() -> None:
    with pytest.raises(openpi_server.ConfigError, match="token"):
        ServerSettings(host="0.0.0.0")
    assert not issubclass(openpi_server.ConfigError, ConfigError)


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ("pi05_droid", "joint_velocity"),
        ("pi05_full_droid_finetune", "joint_position"),
        ("pi05_droid_jointpos_polaris", "joint_position"),
        ("my_jointpos_lab", None),
        ("pi05_droid_ur5", None),
    ],
)
def test_what_actions_mean_is_known_for_openpis_own_configurations_and_asked_for_otherwise(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: str, kind: str | None
) -> None:
    monkeypatch.setattr("sys.argv", ["openpi_server.py", "--config", config, "--dir", "d"])
    if kind is not None:
        assert openpi_server.parse_arguments().action_space == kind
        return
    with pytest.raises(SystemExit):
        openpi_server.parse_arguments()
    assert "pass --action-space" in capsys.readouterr().err
