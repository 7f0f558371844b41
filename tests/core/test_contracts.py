"""The product's own back ends, and the tests' stand-ins for them, keep to the contracts that third parties are offered."""

import functools
import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frs_core import devices, policies, worlds
from frs_core.candidates.fan import build_fan
from frs_core.choosers import registry as choosers
from frs_core.choosers.base import Chooser
from frs_core.choosers.learned import LearnedChooser
from frs_core.choosers.registry import ChooserSpec, Setting
from frs_core.choosers.scripted import PolicyChooser, SequenceChooser
from frs_core.choosers.vlm import VlmChooser
from frs_core.choosers.world_operator import WorldOperator
from frs_core.devices import load_device
from frs_core.devices.base import InputDevice
from frs_core.devices.gamepad import Gamepad
from frs_core.devices.spacemouse import SpaceMouse
from frs_core.episodes import EpisodeStore, JournalRecorder
from frs_core.episodes.records import ChunkRecord, EpisodeMeta, MemoryRecorder, Recorder
from frs_core.errors import ConfigError
from frs_core.learning import DsbcSettings, FitSettings, NetworkSettings
from frs_core.learning.base import LearnerSpec, Trained
from frs_core.learning.registry import KNOWN
from frs_core.learning.settings import DsrlFrsSettings, LearnerSettings, PickQSettings, RqlSettings
from frs_core.learning.table import TrainingTable
from frs_core.policies import in_action_space, load_policy
from frs_core.policies.base import FlowPolicy
from frs_core.robot.actions import ActionKind
from frs_core.robot.observation import Observation
from frs_core.runtime.registry import resolve
from frs_core.serving.server import build_server
from frs_core.serving.websocket_server import ServerSettings
from frs_core.steering.candidates import LEARNED, CandidateKind, Fan
from frs_core.testing import (
    ChooserContract,
    FlowPolicyContract,
    InputDeviceContract,
    LearnerContract,
    RecorderContract,
    WorldContract,
)
from frs_core.worlds.base import World
from frs_core.worlds.droid import DroidConfig, DroidWorld
from frs_core.worlds.tabletop import TabletopWorld
from frs_core.worlds.tabletop.mirror import MirrorOperator
from frs_core.worlds.tabletop.operator import ScriptedOperator
from frs_core.worlds.tabletop.sim import TabletopSim
from tests.contracts import CONTRACTS, COVERED, ROWS, covers, uncovered
from tests.fakes import pi05
from tests.fakes.episodes import random_chunks, random_meta
from tests.fakes.libero_observation import libero_observation
from tests.fakes.policy import ToyPolicy
from tests.fakes.practising import ROW as SEEKER
from tests.fakes.practising import SeekerSettings
from tests.fakes.running_bridge import bridge_thread
from tests.fakes.snapshots import sample_fan
from tests.fakes.vlm import FakeVlm
from tests.fakes.world import PointWorld
from tests.waiting import LONG_S


class TestPointWorld(WorldContract):
    def make(self) -> World:
        return PointWorld()


@covers("world", "tabletop")
class TestTabletop(WorldContract):
    def make(self) -> World:
        return TabletopWorld()


@covers("world", "droid")  # a bridge in a thread stands for the robot
class TestDroid(WorldContract):
    @pytest.fixture(autouse=True)
    def _bridge(self) -> Iterator[None]:
        with bridge_thread() as (bridge, _):
            self.config = DroidConfig(
                endpoint=bridge.address,
                width=160,
                height=90,
                timeout_s=LONG_S,
                connect_timeout_s=LONG_S,
                stale_s=LONG_S,
            )
            yield

    def make(self) -> World:
        return DroidWorld(self.config)


class TestToyPolicy(FlowPolicyContract):
    def make(self) -> FlowPolicy:
        return ToyPolicy()

    def observation(self) -> Observation:
        return PointWorld().reset(task="reach_left", seed=0)


@covers("policy", "tabletop")
class TestTabletopPolicy(FlowPolicyContract):
    def make(self) -> FlowPolicy:
        return tabletop_policy()

    def observation(self) -> Observation:
        return tabletop_start()


@covers("policy", "libero")
class TestLiberoPolicy(FlowPolicyContract):
    def make(self) -> FlowPolicy:
        return load_policy("libero")

    def observation(self) -> Observation:
        return libero_observation()


@covers("policy", "pi05")  # a small checkpoint with the layout of the real one
class TestPi05(FlowPolicyContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = pi05.make_checkpoint(tmp_path)

    def make(self) -> FlowPolicy:
        return load_policy("pi05", path=self.folder, device="cpu")

    def observation(self) -> Observation:
        return pi05.make_observation()


class TestJointPolicy(TestToyPolicy):
    def make(self) -> FlowPolicy:
        return in_action_space(ToyPolicy(), ActionKind.JOINT_VELOCITY)


@covers("policy", "remote")  # a server in a thread
class TestRemotePolicy(TestToyPolicy):
    @pytest.fixture(autouse=True)
    def _served(self) -> Iterator[None]:
        self.opened: list[FlowPolicy] = []
        with build_server(ToyPolicy(), ServerSettings(port=0)).running() as server:
            self.url = f"ws://127.0.0.1:{server.port}"
            yield
            for policy in self.opened:
                policy.close()

    def make(self) -> FlowPolicy:
        self.opened.append(load_policy("remote", url=self.url))
        return self.opened[-1]


@functools.cache
def tabletop_policy() -> FlowPolicy:
    return load_policy("tabletop")


@functools.cache
def tabletop_start() -> Observation:
    world = TabletopWorld()
    try:
        return world.observe()
    finally:
        world.close()


@dataclass(frozen=True)
class Simulated:
    """A simulator alone, as the tabletop's scripted operators need it."""

    sim: TabletopSim


@functools.cache
def tabletop_simulated() -> Simulated:
    simulated = Simulated(TabletopSim())
    simulated.sim.reset("can_on_plate", seed=0)
    return simulated


@covers("device", "gamepad")
class TestGamepad(InputDeviceContract):
    def make(self) -> InputDevice:
        return Gamepad()


@covers("device", "spacemouse")
class TestSpaceMouse(InputDeviceContract):
    def make(self) -> InputDevice:
        return SpaceMouse(lambda: None)


class TestPolicyChooser(ChooserContract):
    def make(self) -> Chooser:
        return PolicyChooser()

    def fan(self) -> Fan:
        return sample_fan()


class TestSequenceChooser(TestPolicyChooser):
    def make(self) -> Chooser:
        return SequenceChooser(["up/more", "left/more"])


@covers("chooser", "scripted")
class TestWorldOperator(TestPolicyChooser):
    row = choosers.KNOWN["scripted"]

    def make(self) -> Chooser:
        return WorldOperator(Setting(world_operator=lambda: "tests.core.test_choosers_registry:made_of_state"))


class TestScriptedOperator(ChooserContract):
    def make(self) -> Chooser:
        return ScriptedOperator(tabletop_simulated())

    def fan(self) -> Fan:
        policy, observation = tabletop_policy(), tabletop_start()
        return build_fan(policy, policy.encode(observation), observation, plan=policy.default_plan)


class TestMirrorOperator(TestScriptedOperator):
    def make(self) -> Chooser:
        return MirrorOperator(tabletop_simulated().sim.snapshot)


@covers("chooser", "learned")
class TestLearnedChooser(TestPolicyChooser):
    row = choosers.KNOWN["learned"]

    def make(self) -> Chooser:
        return LearnedChooser()

    def fan(self) -> Fan:
        fan = sample_fan()
        learned = replace(fan.candidates[0], label=LEARNED, kind=CandidateKind.LEARNED)
        return replace(fan, candidates=(*fan.candidates, learned))


@covers("chooser", "vlm")
class TestVlmChooser(TestPolicyChooser):
    row = choosers.KNOWN["vlm"]

    @pytest.fixture(autouse=True)
    def _endpoint(self) -> Iterator[None]:
        with FakeVlm() as self.server:
            self.server.content = '{"pick": "left/more", "reason": "the cup is left"}'
            yield

    def make(self) -> Chooser:
        return VlmChooser(self.server.url)


class OwnLearner(LearnerContract):
    """A learner of the product, small."""

    def settings(self) -> LearnerSettings:
        small: dict[str, Any] = {
            "network": NetworkSettings(hidden=16, layers=1),
            "fit": FitSettings(steps=40, least_steps=0, batch_size=16),
        }
        return self.row.settings(**small)

    def observation(self) -> Observation:
        return PointWorld().reset(task="reach_left", seed=0)

    def policy(self) -> FlowPolicy:
        return ToyPolicy()


@covers("learner", "dsbc")
class TestDsbc(OwnLearner):
    row = KNOWN["dsbc"]


@covers("learner", "offline-dsbc")
class TestOfflineDsbc(OwnLearner):
    row = KNOWN["offline-dsbc"]


@covers("learner", "bc-gaussian")
class TestGaussianCloning(OwnLearner):
    row = KNOWN["bc-gaussian"]


@covers("learner", "bc-flow")
class TestFlowCloning(OwnLearner):
    row = KNOWN["bc-flow"]


@covers("learner", "pick-q")
class TestPickQ(OwnLearner):
    row = KNOWN["pick-q"]

    def settings(self) -> LearnerSettings:
        imitation = DsbcSettings(
            network=NetworkSettings(hidden=16, layers=1), fit=FitSettings(steps=20, least_steps=0, batch_size=16)
        )
        return PickQSettings(draws=2, hidden=16, heads=2, first_steps=20, steps=2, imitation=imitation)


@covers("learner", "rql")
class TestRql(OwnLearner):
    row = KNOWN["rql"]

    def settings(self) -> LearnerSettings:
        return RqlSettings(
            network=NetworkSettings(hidden=16, layers=1), heads=2, steps=40, batch_size=16, report_every=20
        )


class PractisingLearner(OwnLearner):
    """One of the product's own that practises, small and quick to warm up."""

    def settings(self) -> LearnerSettings:
        small: dict[str, Any] = {
            "network": NetworkSettings(hidden=16, layers=1),
            "updates_per_chunk": 1,
            "critic_first": 5,
            "batch_size": 16,
            "warm_up": 1,
        }
        return self.row.settings(**small)


@covers("learner", "dsrl")
class TestDsrl(PractisingLearner):
    row = KNOWN["dsrl"]


@covers("learner", "dsrl-frs")
class TestDsrlFrs(PractisingLearner):
    row = KNOWN["dsrl-frs"]

    def settings(self) -> LearnerSettings:
        settings = super().settings()
        assert isinstance(settings, DsrlFrsSettings)
        return replace(settings, fit=FitSettings(steps=20, least_steps=0, batch_size=16))

    def prior(self) -> TrainingTable:
        return self.table().with_outcomes([True, False, True, True])


@covers("learner", "residual")
class TestResidual(PractisingLearner):
    row = KNOWN["residual"]

    def table(self) -> TrainingTable:
        """Return chunks that were corrected a little; the generalist's own ones come last among the features."""
        table = super().table()
        own = ToyPolicy().spec.flow.normalise(table.chunk) - np.float32(0.1)
        return replace(table, features=np.concatenate([table.features, own.reshape(table.rows, -1)], axis=1))


class TestPractising(OwnLearner):
    row: LearnerSpec = SEEKER

    def settings(self) -> LearnerSettings:
        return self.row.settings()

    def other_settings(self) -> LearnerSettings:
        return SeekerSettings(spread=3.0)


def test_every_row_resolves_and_a_contract_class_runs_for_it() -> None:
    importlib.import_module("tests.core.test_libero_world")  # These run the contracts of 'libero' and 'lerobot'.
    importlib.import_module("tests.core.test_policies_lerobot")
    for kind, known in (("world", worlds.KNOWN), ("policy", policies.KNOWN)):
        assert all(callable(resolve(kind, name, known)) for name in known)
    assert all(load_device(kind, path, others=()).kind == kind for kind, path in devices.KNOWN.items())
    assert all(callable(resolve("chooser", row.make, {})) for row in choosers.KNOWN.values() if row.make)
    assert all(row.load().spec is row for row in KNOWN.values())
    assert uncovered() == []
    for (kind, name), contract in COVERED.items():
        assert contract.__name__.startswith("Test"), f"pytest does not collect {contract.__name__}, of {kind} '{name}'."
        marks = {mark.name for mark in getattr(contract, "pytestmark", ())}
        assert not marks & {"slow", "gpu", "gl", "hw", "skip", "skipif"}, f"{contract.__name__} does not always run."
        if kind in ("learner", "chooser"):
            row = KNOWN[name] if kind == "learner" else choosers.KNOWN[name]
            assert contract.row is row  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("kind", CONTRACTS)
def test_a_row_without_a_contract_class_is_named_with_what_to_write(kind: str) -> None:
    added = {**ROWS, kind: [*ROWS[kind], "toy"]}
    (said,) = [text for text in uncovered(added) if "toy" in text]
    assert said.startswith(
        f"No contract class runs for {kind} 'toy'. Add a test class that inherits from frs_core.testing."
    )
    assert f"@covers('{kind}', 'toy')" in said


class Misspelt(PointWorld):
    doctor = "frs_core.worlds.libero.check:chek_libero"


class Unheard(PolicyChooser):
    pass


class Misbound(SpaceMouse):
    bindings = {"drive.hld": ("puck:button_right",)}  # noqa: RUF012


class Deaf(OwnLearner):
    row = KNOWN["bc-gaussian"]

    def trained(self, settings: LearnerSettings | None = None) -> Trained:
        return super().trained()


def test_what_a_back_end_says_wrongly_about_itself_breaks_its_contract(tmp_path: Path) -> None:
    world, chooser, device = WorldContract(), ChooserContract(), InputDeviceContract()
    world.make, chooser.make, device.make = Misspelt, Unheard, lambda: Misbound(lambda: None)  # type: ignore[method-assign]
    chooser.row = ChooserSpec("unheard", "U", "It picks", "", "It picked")
    with pytest.raises(ConfigError, match="chek_libero"):
        world.test_what_it_names_can_be_imported_and_called()
    with pytest.raises(AssertionError):
        chooser.test_its_picks_are_recorded_under_the_name_of_its_row()
    with pytest.raises(AssertionError, match=r"no action \['drive.hld'\]"):
        device.test_what_its_bindings_do_are_actions_of_the_cockpit()
    with pytest.raises(AssertionError):
        Deaf().test_it_learns_under_the_settings_it_is_given(tmp_path)


class TestMemoryRecorder(RecorderContract):
    def make(self) -> Recorder:
        return MemoryRecorder()

    def episode(self) -> tuple[EpisodeMeta, Sequence[ChunkRecord]]:
        return random_meta(), tuple(random_chunks(count=2))


class TestJournalRecorder(TestMemoryRecorder):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.root = tmp_path

    def make(self) -> Recorder:
        return JournalRecorder(EpisodeStore(self.root))
