"""The whole story in the real window: watch the policy fail, steer it ten times, train, let it drive, let it practise.

    python examples/story.py --task can_on_plate --out runs/story
    python examples/story.py --out runs/story --successes 2 --episodes 2      # a short one
    python examples/story.py --task mug_on_stand --practise --out runs/story  # then a hundred attempts by itself
    python examples/story.py --world libero --task libero_90/13 --out runs/story

Starts `frs` on a screen of its own and uses it by key presses alone; what is on screen comes from the status file, where things
stand from the episode's journal (see `automation/journal_operator.py`). Writes story.json, story.mp4 and story.gif into the folder. About
twelve minutes on two cores, half an hour with practice.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from automation.cockpit import Cockpit
from automation.film import Film
from automation.journal_operator import JournalOperator
from automation.screen import Screen

from frs_core.evaluation.wilson import format_rate, wilson

STEERED_SCENE, FRESH_SCENE = 20_000, 30_000
"""First scenes of the steered and of the compared episodes; no other part of the product uses them."""
PATIENCE_S = 20.0
"""For a chunk, also where pictures are drawn slowly."""
GIF_PLAN = [
    ("alone", 26),
    ("steer", 48),
    ("train", 26),
    ("learned", 44),
    ("practise", 30),
    ("practised", 30),
    ("end", 3),
]


@dataclass(slots=True)
class Outcome:
    """Successes of some episodes, with the 95 % Wilson interval."""

    successes: int = 0
    n: int = 0
    low: float = 0.0
    high: float = 1.0
    chunks: list[int] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, is_success: bool, chunks: int) -> None:
        """Count one episode."""
        self.successes, self.n = self.successes + is_success, self.n + 1
        self.low, self.high = wilson(self.successes, self.n)
        self.chunks.append(chunks)

    @property
    def words(self) -> str:
        """E.g. '8 of 10'."""
        return f"{self.successes} of {self.n}"


class Story:
    """Plays the story in one cockpit."""

    def __init__(self, cockpit: Cockpit, film: Film, *, world: str, task: str, max_chunks: int) -> None:
        self.cockpit, self.film, self.task, self.max_chunks = cockpit, film, task, max_chunks
        self.operator = JournalOperator(cockpit.data, world=world)

    def alone(self, count: int) -> Outcome:
        """Let the policy drive alone: continuous pacing, nothing held, nothing recorded."""
        cockpit, outcome, began = self.cockpit, Outcome(), time.monotonic()
        cockpit.until("unrecorded", lambda s: s["next"]["unrecorded"], "ctrl+p")
        cockpit.until("continuous pacing", lambda s: s["pacing"] == "continuous", "p")
        for i in range(count):
            self.film.say("1  The policy alone", f"{self.task}: {outcome.words}")
            self.film.begin("alone")
            outcome.add(*self._watch(FRESH_SCENE + i))
            self.film.finish()
            print(f"alone, scene {FRESH_SCENE + i}: {outcome.words}", flush=True)
        cockpit.until("gated pacing", lambda s: s["pacing"] == "gated", "p")
        cockpit.until("recording", lambda s: not s["next"]["unrecorded"], "ctrl+p")
        outcome.seconds = time.monotonic() - began
        return outcome

    def steer(self, successes: int) -> Outcome:
        """Steer with the arrow keys until a number of episodes succeed."""
        outcome, began = Outcome(), time.monotonic()
        while outcome.successes < successes:
            if outcome.n >= 4 * successes + 4:
                raise TimeoutError(f"Only {outcome.words} steered episodes succeeded")
            self.film.say("2  Steer it", f"{outcome.successes} of {successes} successes")
            self.film.begin("steer")
            is_success, chunks = self._steer_one(STEERED_SCENE + outcome.n)
            self.film.finish(is_worth=is_success)
            outcome.add(is_success, chunks)
            print(f"steered, scene {STEERED_SCENE + outcome.n - 1}: {outcome.words}, {chunks} chunks", flush=True)
        outcome.seconds = time.monotonic() - began
        return outcome

    def train(self) -> dict:
        """Open Train, train on the ticked successes, use the result; return what the card says."""
        cockpit, film = self.cockpit, self.film
        film.say("3  Train", "on the ten successes")
        film.begin("train")
        cockpit.until("the Train layout", lambda s: s["layout"] == "train", "3")
        cockpit.until("ticked successes", lambda s: s["training"].get("can_start"), "s", wait_s=15.0)
        cockpit.until("training runs", lambda s: s["training"].get("is_running"), "ctrl+Return", wait_s=10.0)
        done = cockpit.wait(
            "training is done",
            lambda s: s["training"].get("result") and not s["training"]["is_running"],
            timeout_s=600.0,
        )
        film.say("3  Train", f"done in {done['training']['result']['seconds']:.0f} s: use it")
        time.sleep(1.5)
        used = cockpit.until("the learned candidate is in the fan", lambda s: s["noise_policy"], "u", wait_s=15.0)
        time.sleep(1.0)
        film.finish()
        cockpit.until("the Drive layout", lambda s: s["layout"] == "drive", "1")
        return {**used["training"]["result"], "ticked": used["training"]["ticked"]}

    def practise(self) -> dict:
        """Open Practise, let it practise as preset from the steered episodes, use the best version; return what the page says."""
        cockpit, film, began = self.cockpit, self.film, time.monotonic()
        film.say("5  Practise", "a hundred attempts by itself, in worlds of its own")
        film.begin("practise")
        cockpit.until("the Practise layout", lambda s: s["layout"] == "practise", "4")
        cockpit.wait("practice can start", lambda s: s["practising"].get("can_start"))
        cockpit.until("it practises", lambda s: s["practising"]["is_running"], "ctrl+Return", wait_s=20.0)
        cockpit.wait("practice is done", lambda s: not s["practising"]["is_running"], timeout_s=3600.0)
        seconds = time.monotonic() - began
        time.sleep(1.5)
        used = cockpit.until("the best version is in the fan", _is_used, "u", wait_s=15.0)
        time.sleep(1.0)
        film.finish()
        cockpit.until("the Drive layout", lambda s: s["layout"] == "drive", "1")
        return {**used["practising"], "seconds": round(seconds, 1)}

    def learned(self, count: int, name: str = "learned", title: str = "4  Nobody steers") -> Outcome:
        """Hand over: what was learned drives fresh scenes, the same that the policy had alone."""
        cockpit, outcome, began = self.cockpit, Outcome(), time.monotonic()
        cockpit.until("learned drives", lambda s: s["driver"] == "learned", "alt+2")
        cockpit.until("it never asks for help", lambda s: not s["asks_for_help"], "shift+i")
        for i in range(count):
            self.film.say(title, f"the noise policy drives: {outcome.words}")
            self.film.begin(name)
            is_success, chunks = self._watch(FRESH_SCENE + i)
            self.film.finish(is_worth=is_success)
            outcome.add(is_success, chunks)
            print(f"{name}, scene {FRESH_SCENE + i}: {outcome.words}, {chunks} chunks", flush=True)
        outcome.seconds = time.monotonic() - began
        return outcome

    # --- episodes ---------------------------------------------------------------------------------

    def _watch(self, scene: int) -> tuple[bool, int]:
        """Let whoever drives do one episode; label it."""
        self._set_scene(scene)
        return self._label(
            self.cockpit.wait_running("the episode's end", self._is_over, timeout_s=PATIENCE_S * self.max_chunks)
        )

    def _is_over(self, now: dict) -> bool:
        return _is_done(now) or now["episode"]["chunks"] >= self.max_chunks

    def _steer_one(self, scene: int) -> tuple[bool, int]:
        """Steer one episode; label it."""
        self._set_scene(scene)
        picked = 0
        while True:
            now = self._next_offer(picked)
            if self._is_over(now):
                return self._label(now)
            command, reason = self.operator.command(now)
            try:
                label = self.cockpit.word(command) if command is not None else "unsteered"
                self.film.key(label, reason)
                offer = self.cockpit.now["offer"]
                self.cockpit.pick(label, timeout_s=5.0)
                picked = offer or picked
            except TimeoutError:
                # The press came while the window was busy; look again.
                continue

    def _next_offer(self, picked: int) -> dict:
        return self.cockpit.wait_running("an offer", lambda s: _is_done(s) or s["offer"] not in (0, picked))

    def _set_scene(self, scene: int) -> None:
        self.cockpit.choose_scene(scene)
        self.cockpit.start_episode()

    def _label(self, now: dict) -> tuple[bool, int]:
        is_success, chunks = _is_done(now), now["episode"]["chunks"]
        if is_success:
            time.sleep(0.4)
        self.cockpit.end_episode("ctrl+Return" if is_success else "ctrl+BackSpace")
        return is_success, chunks


def _is_used(status: dict) -> bool:
    page = status["practising"]
    return bool(page["chosen"]) and Path(page["in_use"]).resolve() == Path(page["chosen"]).resolve()


def _is_done(status: dict) -> bool:
    return bool(status["episode"]["success_seen"])


def play(options: argparse.Namespace, screen: Screen, film: Film) -> dict:
    """Play the story and return its figures."""
    cockpit = Cockpit(screen, options.out / "run", options=("--world", options.world, *options.frs))
    story = Story(cockpit, film, world=options.world, task=options.task, max_chunks=options.max_chunks)
    began = time.monotonic()
    try:
        cockpit.ready()
        cockpit.choose_task(options.task)
        alone = story.alone(options.episodes)
        steered = story.steer(options.successes)
        trained = story.train()
        learned = story.learned(options.episodes)
        end = f"alone {alone.words}   ·   steered {steered.words}   ·   learned {learned.words}"
        practice, practised = {}, None
        if options.practise:
            practice = story.practise()
            practised = story.learned(options.episodes, "practised", "6  Nobody steers, after practice")
            end += f"   ·   practised {practised.words}"
        film.begin("end")
        film.say(options.task, end)
        time.sleep(2.0)
        film.finish()
    finally:
        story.operator.close()
        cockpit.close()
    return {
        "world": options.world,
        "task": options.task,
        "max_chunks": options.max_chunks,
        "alone": asdict(alone),
        "steered": asdict(steered),
        "learned": asdict(learned),
        "training": trained,
        **({"practised": asdict(practised), "practice": practice} if practised is not None else {}),
        "holds": cockpit.holds,
        "seconds": round(time.monotonic() - began, 1),
    }


def main() -> None:
    """Play, film, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", default="tabletop", help="a simulation with a scripted operator")
    parser.add_argument("--task", default="can_on_plate", help="a held-out task of the world")
    parser.add_argument("--out", type=Path, required=True, help="folder for figures, film and recordings; a fresh one")
    parser.add_argument("--successes", type=int, default=10, help="steered successes to learn from")
    parser.add_argument("--episodes", type=int, default=10, help="episodes without a person, before and after")
    parser.add_argument(
        "--practise", action="store_true", help="practise in the window too, then drive the same scenes again"
    )
    parser.add_argument(
        "--size", type=int, nargs=2, default=(1280, 800), metavar=("W", "H"), help="of the screen, pixels"
    )
    parser.add_argument("--max-chunks", type=int, default=40, help="an episode longer than this has failed")
    parser.add_argument("--gif", type=Path, default=None, help="where the GIF goes; default story.gif in the folder")
    parser.add_argument("frs", nargs="*", help="further options of frs, after --")
    options = parser.parse_args()
    if (options.out / "run" / "data").exists():
        raise SystemExit(f"{options.out} holds an earlier story. Choose a fresh folder.")
    options.out.mkdir(parents=True, exist_ok=True)
    with Screen(tuple(options.size)) as screen:
        film = Film(screen, options.out / "story.mp4").start()
        try:
            figures = play(options, screen, film)
        finally:
            film.close()
    (options.out / "story.json").write_text(json.dumps(figures, indent=1))
    if film.error is None:
        film.gif(options.gif or options.out / "story.gif", GIF_PLAN)
    else:
        print(f"No film: {film.error}")
    for name in ("alone", "steered", "learned", *(["practised"] if options.practise else [])):
        print(f"{name:8} {format_rate(figures[name]['successes'], figures[name]['n'])}")
    print(f"trained  {figures['training']['seconds']:.1f} s on {figures['training']['chunks']} chunks")
    print(f"all      {figures['seconds']:.0f} s, {len(figures['holds'])} holds")


if __name__ == "__main__":
    main()
