"""A blinded comparison on disk: balanced order, nothing said before its time, nothing lost, and the tables of an evaluation."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from frs_core import cli
from frs_core.episodes import EpisodeStore, JournalRecorder
from frs_core.errors import ConfigError
from frs_core.evaluation.blind import Blind, list_blind, new_folder
from frs_core.evaluation.blind_log import LOG, sealed_episodes
from frs_core.evaluation.blind_plan import BASE, PLAN, Arm, BlindPlan, draw_plan, learned_arm
from frs_core.evaluation.blind_report import as_json, differences_of, markdown_of
from frs_core.events import Outcome
from frs_core.learning import DsbcSettings, FitSettings, NetworkSettings
from tests.fakes.episodes import random_chunks, random_meta
from tests.fakes.learning import synthetic_table, train_dsbc

GOOD, BAD = "A rather good one", "Not so good"


def arms() -> list[Arm]:
    return [Arm(GOOD, "dsbc", "learned/good", "a" * 64), Arm(BAD, BASE)]


@pytest.fixture
def opened() -> Iterator[Callable[..., Blind]]:
    """Return what opens comparisons, and close them at the end."""
    with ExitStack() as stack:
        yield lambda *args: stack.enter_context(Blind(*args))


@pytest.fixture
def begin(opened: Callable[..., Blind]) -> Callable[..., Blind]:
    """Return what begins a comparison of two below a root."""

    def begin(root: Path, *, blocks: int = 10, seed: int = 5) -> Blind:
        plan = draw_plan("mug_on_plate", arms(), blocks=blocks, seed=seed, made_at=0.0)
        return opened(new_folder(root, "mug_on_plate"), plan)

    return begin


def drive(blind: Blind, count: int, *, good: str = GOOD) -> None:
    """Drive attempts of which one policy wins all and the other none."""
    for _ in range(count):
        slot = blind.next_slot
        assert slot is not None
        name = f"e{len(blind.state.attempts)}"
        blind.began(name)
        outcome = Outcome.SUCCESS if blind.arm_of(slot).title == good else Outcome.FAILURE
        blind.ended(outcome, episode=name, chunks=12, steps=96)


def test_the_order_is_drawn_in_blocks_with_each_policy_once_and_follows_from_the_seed() -> None:
    three = [*arms(), Arm("third", "dsbc", "learned/third", "c" * 64)]
    plan = draw_plan("t", three, blocks=20, seed=3, made_at=0.0)
    assert plan == draw_plan("t", three, blocks=20, seed=3, made_at=0.0)
    blocks = [plan.order[i : i + 3] for i in range(0, 60, 3)]
    assert all(sorted(block) == [0, 1, 2] for block in blocks)
    assert len(set(blocks)) > 3, "the order inside the blocks differs"
    assert [plan.scene(s) - plan.first_scene for s in range(6)] == [0, 0, 0, 1, 1, 1]
    letters = {draw_plan("t", three, blocks=1, seed=seed).letters for seed in range(60)}
    assert len(letters) == 6, "the first that was chosen is not always A"
    assert draw_plan("t", three, blocks=1).seed != draw_plan("t", three, blocks=1).seed


@pytest.mark.parametrize(
    ("chosen", "blocks", "said"),
    [
        ([], 3, "0 policies, needs 2 to 8"),
        (["x"], 3, "1 policy"),
        (["x", "x"], 3, "same policy twice"),
        (["x", "y"], 0, "0 attempts"),
    ],
)
def test_a_plan_that_compares_nothing_is_refused(chosen: list[str], blocks: int, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        draw_plan("t", [Arm(name, "dsbc", name, name) for name in chosen], blocks=blocks)


def test_a_killed_comparison_continues_where_it_was_without_the_line_that_was_cut(
    tmp_path: Path, opened: Callable[..., Blind], begin: Callable[..., Blind]
) -> None:
    blind = begin(tmp_path)
    drive(blind, 5)
    blind.began("interrupted")
    blind.close()
    log = blind.folder / LOG
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"event": "ended", "slot": 5, "epi')
    again = opened(blind.folder)
    assert [a.slot for a in again.counted] == [0, 1, 2, 3, 4]
    assert again.next_slot == 5
    assert log.read_bytes() == whole
    assert "interrupted" in sealed_episodes(tmp_path)
    drive(again, 15)
    assert again.is_complete
    assert again.next_slot is None


def test_two_programs_cannot_continue_one_comparison_and_both_may_look(
    tmp_path: Path, begin: Callable[..., Blind]
) -> None:
    blind = begin(tmp_path)
    with pytest.raises(ConfigError, match="is being made by"):
        Blind(blind.folder)
    Blind(blind.folder, is_read_only=True)
    with pytest.raises(ConfigError, match="opened to be read"):
        Blind(blind.folder, is_read_only=True).began("e")
    blind.close()
    Blind(blind.folder).close()


def test_an_excluded_attempt_is_repeated_at_the_end_of_its_block_so_its_repetition_tells_nothing(
    tmp_path: Path,
    begin: Callable[..., Blind],
) -> None:
    blind = begin(tmp_path)
    drive(blind, 3)
    blind.exclude(2, " the camera fell ")
    assert blind.state.attempts[2].excluded == "the camera fell"
    assert blind.next_slot == 3, "the block's other policy first"
    drive(blind, 1)
    assert blind.next_slot == 2
    blind.exclude(2, "")
    assert blind.next_slot == 4
    assert blind.ended(Outcome.DISCARDED, episode="").excluded == "discarded"
    assert blind.next_slot == 5


def test_while_it_is_blinded_nothing_tells_the_policies_apart(tmp_path: Path, begin: Callable[..., Blind]) -> None:
    blind = begin(tmp_path)
    drive(blind, 19)
    assert blind.letters is None
    assert differences_of(blind) == []
    said = markdown_of(blind) + json.dumps(as_json(blind)) + blind.sentence
    assert "--" not in said, "the window shows it too"
    for telling in (GOOD, BAD, "dsbc", "learned", "order", "| A", "| B", '"A"', "seed"):
        assert telling not in said
    assert "All policies together: 47 %" in said
    assert blind.sentence.startswith("a difference is shown: ")
    drive(blind, 1)
    by_letter = markdown_of(blind)
    assert blind.letters is not None
    assert "| A |" in by_letter
    assert "is better" in by_letter
    assert GOOD not in by_letter + json.dumps(as_json(blind))


def test_unblinded_it_is_the_table_of_an_evaluation_with_names_seed_and_digests_and_takes_no_more(
    tmp_path: Path,
    begin: Callable[..., Blind],
) -> None:
    blind = begin(tmp_path, blocks=8)
    drive(blind, 16)
    blind.exclude(3, "a | bump")
    blind.exclude(3, "")
    blind.relabel(0, Outcome.FAILURE)
    blind.relabel(0, blind.state.attempts[0].outcome)
    blind.unblind()
    text, document = markdown_of(blind), as_json(blind)
    good = blind.plan.letters[0]
    assert f"| {good}: {GOOD} | " in text
    assert "(95 % interval)" in text
    assert f"seed {blind.plan.seed}" in text
    assert "aaaaaaaaaaaa" in text
    assert document["plan"]["order"] == blind.plan.order
    assert [r["scene"] for r in document["attempts"]][:4] == [800_000, 800_000, 800_001, 800_001]
    assert {r["method"] for r in document["rates"]} == {"A", "B"}
    with pytest.raises(ConfigError, match="takes no more"):
        blind.relabel(0, Outcome.SUCCESS)


def test_a_note_is_text_in_the_table_whatever_it_holds(tmp_path: Path, begin: Callable[..., Blind]) -> None:
    blind = begin(tmp_path, blocks=8)
    drive(blind, 16)
    blind.exclude(3, "a | bump\nat the <table>, *twice*")
    drive(blind, 1)
    blind.unblind()
    assert r"| a \| bump at the \<table\>, \*twice\* |" in markdown_of(blind)


def test_labels_can_be_corrected_and_change_the_comparison(tmp_path: Path, begin: Callable[..., Blind]) -> None:
    blind = begin(tmp_path, blocks=8)
    drive(blind, 16)
    (difference,) = blind.differences().values()
    assert difference.verdict == "better"
    for attempt in blind.state.attempts:
        blind.relabel(attempt.number, Outcome.SUCCESS)
    again = Blind(blind.folder, is_read_only=True)
    (difference,) = again.differences().values()
    assert (difference.ties, difference.verdict) == (8, "no difference seen")
    with pytest.raises(ConfigError, match="no attempt 99: it has 16 attempts"):
        blind.relabel(98, Outcome.SUCCESS)


def test_three_policies_share_the_error_level(tmp_path: Path, opened: Callable[..., Blind]) -> None:
    plan = draw_plan("t", [*arms(), Arm("third", "dsbc", "x", "x")], blocks=4, seed=1)
    blind = opened(tmp_path / "c", plan)
    drive(blind, 12)
    assert [d.alpha for d in blind.differences().values()] == [pytest.approx(0.05 / 3)] * 3
    assert len(differences_of(blind)) == 3


@pytest.mark.parametrize(
    "line",
    [
        b'{"event": "ended", "slot": 99}',
        b'{"event": "dance"}',
        b"[]",
        b"nonsense",
        b'{"event": "labelled", "attempt": 7}',
    ],
)
def test_a_damaged_line_is_named_and_what_it_sealed_stays_sealed(
    tmp_path: Path, begin: Callable[..., Blind], line: bytes
) -> None:
    blind = begin(tmp_path)
    drive(blind, 2)
    blind.close()
    log = blind.folder / LOG
    log.write_bytes(log.read_bytes() + line + b"\n")
    with pytest.raises(ConfigError, match="damaged in line 5"):
        Blind(blind.folder)
    ((folder, said),) = list_blind(tmp_path)
    assert folder == blind.folder
    assert isinstance(said, ConfigError)
    assert sealed_episodes(tmp_path) == {"e0", "e1"}


def test_a_plan_that_is_not_balanced_is_refused(tmp_path: Path, begin: Callable[..., Blind]) -> None:
    blind = begin(tmp_path)
    blind.close()
    path = blind.folder / PLAN
    raw = json.loads(path.read_text())
    raw["order"][0] = raw["order"][1]
    path.write_text(json.dumps(raw))
    with pytest.raises(ConfigError, match="every policy once in each block"):
        Blind(blind.folder)


def test_a_policy_that_was_trained_again_is_noticed_without_naming_it(
    tmp_path: Path, opened: Callable[..., Blind]
) -> None:
    quick = DsbcSettings(
        fit=FitSettings(steps=2, least_steps=1, evaluate_every=1), network=NetworkSettings(hidden=8, layers=1)
    )
    saved = train_dsbc(synthetic_table(), quick, name="mine").save(tmp_path / "learned" / "mine")
    arm = learned_arm(saved)
    plan: BlindPlan = draw_plan("t", [arm, Arm("Base policy", BASE)], blocks=2)
    blind = opened(tmp_path / "c", plan)
    blind.check_arms()
    train_dsbc(synthetic_table(seed=1), quick, name="mine").save(saved, overwrite=True)
    with pytest.raises(ConfigError, match="was trained again since") as error:
        blind.check_arms()
    assert "mine" not in str(error.value)


def test_the_command_lists_shows_unblinds_and_exports(
    tmp_path: Path, begin: Callable[..., Blind], capsys: pytest.CaptureFixture[str]
) -> None:
    def frs(*words: str) -> str:
        with pytest.raises(SystemExit) as stop:
            cli.main([*words, "--data", str(tmp_path)])
        assert not stop.value.code, capsys.readouterr().err
        return capsys.readouterr().out

    assert "No comparisons" in frs("compare")
    blind = begin(tmp_path, blocks=8)
    drive(blind, 4)
    blind.close()
    assert "4 of 16" in frs("compare")
    assert GOOD not in frs("compare", "show", "mug_on_plate")
    out = tmp_path / "out"
    assert GOOD in frs("compare", "show", "mug_on_plate", "--unblind", "--out", str(out))
    document = json.loads((out / "comparison.json").read_text())
    assert document["plan"]["seed"] == 5
    assert (out / "comparison.md").read_text().startswith("# Blinded comparison on mug on plate")
    assert "unblinded" in frs("compare")


def test_a_recording_of_a_blinded_comparison_is_not_shown_until_it_is_unblinded(
    tmp_path: Path, begin: Callable[..., Blind], capsys: pytest.CaptureFixture[str]
) -> None:
    recorder = JournalRecorder(EpisodeStore(tmp_path))
    name = recorder.begin(random_meta())
    for chunk in random_chunks():
        recorder.chunk(chunk)
    recorder.end(Outcome.SUCCESS)

    def frs(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as stop:
            cli.main([*words, "--data", str(tmp_path)])
        said = capsys.readouterr()
        return int(stop.value.code or 0), said.out + said.err

    blind = begin(tmp_path)
    blind.began(name)
    blind.ended(Outcome.SUCCESS, episode=name)
    code, said = frs("episodes", "show", name)
    assert code == 1
    assert "still blinded" in said
    assert "blinded" in frs("episodes", "list")[1]
    blind.unblind()
    assert frs("episodes", "show", name)[0] == 0
    assert "blinded" not in frs("episodes", "list")[1]


def test_unblinded_before_its_first_attempt_it_has_no_table_of_rates(
    tmp_path: Path, begin: Callable[..., Blind]
) -> None:
    blind = begin(tmp_path)
    blind.unblind()
    assert "95 % interval" not in markdown_of(blind)
    assert GOOD in markdown_of(blind)
