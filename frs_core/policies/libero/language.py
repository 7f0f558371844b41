"""The LIBERO generalist's words, the tasks it is shown, and the random descriptions of its demonstrations.

A training sample gets a new description every time it is drawn, as for the tabletop: the task's own words or a paraphrase, the same with
unknown nouns, a vague one, or a wrong one. Wrong ones are the words of *held-out* tasks: combinations of an object and a
place that nobody shows in any scene. The policy knows both words and both skills, and takes the object to another place, or
another object to that place.
"""

import numpy as np
from jaxtyping import Int

from frs_core.arrays import Array
from frs_core.policies.generalist.vocabulary import UNKNOWN, Vocabulary
from frs_core.worlds.libero.tasks import find, tasks

NAMES: dict[str, tuple[str, ...]] = {
    "black bowl 1": (
        "bowl",
        "black bowl",
        "black bowl at the front",
        "front black bowl",
        "left bowl",
        "black bowl on the left",
    ),
    "black bowl 2": ("middle black bowl", "black bowl in the middle", "right bowl", "black bowl on the right"),
    "black bowl 3": ("back black bowl", "black bowl at the back"),
    "white bowl": ("white bowl",),
    "plate 1": ("plate", "left plate"),
    "plate 2": ("right plate",),
    "butter 1": ("butter", "butter at the front"),
    "butter 2": ("butter at the back",),
    "moka pot 1": ("moka pot", "right moka pot"),
    "moka pot 2": ("left moka pot",),
    "frying pan": ("frying pan",),
    "white mug": ("white mug",),
    "red mug": ("red mug",),
    "yellow and white mug": ("yellow and white mug",),
    "alphabet soup": ("alphabet soup",),
    "tomato sauce": ("tomato sauce",),
    "bbq sauce": ("bbq sauce",),
    "ketchup": ("ketchup",),
    "salad dressing": ("salad dressing",),
    "cream cheese": ("cream cheese", "cream cheese box"),
    "milk": ("milk",),
    "orange juice": ("orange juice",),
    "chocolate pudding": ("chocolate pudding",),
    "cookies": ("cookie box",),
    "ramekin": ("ramekin",),
    "wine bottle": ("wine bottle",),
    "wine rack": ("wine rack", "rack"),
    "basket": ("basket",),
    "tray": ("tray",),
    "black book": ("book", "book in the middle"),
    "yellow book 1": ("book on the right",),
    "yellow book 2": ("book on the left",),
    "caddy": ("caddy",),
    "front compartment": ("front compartment",),
    "back compartment": ("back compartment",),
    "left compartment": ("left compartment",),
    "right compartment": ("right compartment",),
    "top drawer": ("top drawer",),
    "middle drawer": ("middle drawer",),
    "bottom drawer": ("bottom drawer",),
    "cabinet": ("top of the cabinet", "top of the shelf"),
    "cabinet shelf": ("cabinet shelf",),
    "stove": ("stove",),
    "knob": ("turn on the stove", "turn off the stove"),
    "microwave": ("microwave",),
}
"""Object that the vision encoder locates -> phrases of LIBERO's instructions that mean it.

Where a scene has several of a kind, LIBERO numbers them in the same way in all of its tasks, and so do these.
"""
CONCEPTS = tuple(NAMES)

HELD_OUT: dict[str, tuple[str, ...]] = {
    "libero_90/9": ("libero_90/8",),
    "libero_90/10": ("libero_90/8",),
    "libero_90/12": ("libero_90/17",),
    "libero_90/13": ("libero_90/16",),
    "libero_90/14": ("libero_90/17",),
    "libero_90/15": ("libero_90/17",),
    "libero_90/25": ("libero_90/24",),
    "libero_90/30": ("libero_90/29",),
    "libero_90/31": ("libero_90/29",),
    "libero_90/41": ("libero_90/45",),
    "libero_90/43": ("libero_90/45",),
    "libero_90/49": ("libero_90/46", "libero_90/47", "libero_90/48"),
    "libero_90/54": ("libero_90/50", "libero_90/51", "libero_90/53"),
    "libero_90/66": ("libero_90/65",),
    "libero_90/69": ("libero_90/70",),
}
"""Held-out task -> the demonstrated ones of the same scene that are sometimes described by its words.

Black bowl to plate or onto a cabinet, frying pan or white bowl onto the cabinet, tomato sauce to basket, red mug to the right plate, pudding to the left of it.
"""
_NEVER_SHOWN = (
    # The same combinations elsewhere.
    "libero_90/1",
    "libero_goal/4",
    "libero_goal/8",
    "libero_object/5",
    # What the scripted demonstrator cannot do, docs/libero-demonstrator.md.
    *(f"libero_90/{n}" for n in (6, 35, 40, 42, 73, 78, 80, 81, 86, 88, 89)),
    "libero_goal/3",
    "libero_goal/5",
)
SHOWN = tuple(
    name
    for name, task in tasks().items()
    if task.suite in ("libero_90", "libero_goal", "libero_object") and name not in HELD_OUT and name not in _NEVER_SHOWN
)
"""Demonstrated tasks. `libero_spatial` is not among them: all its tasks take a black bowl to a plate."""

_VAGUE = (
    "tidy up the table",
    "clean up",
    "do something useful",
    "put something away",
    "help me",
    "move something",
    "",
)
_PARAPHRASES = (
    ("pick up the ", " and put it ", "put the ", " "),
    ("pick up the ", " and place it ", "place the ", " "),
    ("put the ", " on ", "set the ", " on "),
    ("put the ", " in ", "move the ", " into "),
    ("open ", " of the cabinet", "pull ", " of the cabinet open"),
    ("close ", " of the cabinet", "push ", " of the cabinet shut"),
)
"""(begins with, contains, begins then, contains then)."""


def _vocabulary() -> Vocabulary:
    texts = [*_VAGUE, *(word for row in _PARAPHRASES for word in row), *(task.words for task in tasks().values())]
    phrases = {phrase: i for i, name in enumerate(CONCEPTS) for phrase in NAMES[name]}
    return Vocabulary(texts, phrases, count=len(CONCEPTS), longest=20)


VOCABULARY = _vocabulary()
_DECOYS = {shown: [held for held, decoys in HELD_OUT.items() if shown in decoys] for shown in SHOWN}


def describe(rng: np.random.Generator, name: str) -> Int[Array, " 20"]:
    """Return one random description of a task's demonstration, as word indices.

    25 % vague, 20 % wrong where a held-out task has this one for a decoy, 10 % with some nouns unknown, the rest precise, half of it paraphrased.
    """
    u, task = rng.random(), find(name)
    if u < 0.25:
        return VOCABULARY.tokenise(str(rng.choice(_VAGUE)))
    if u < 0.45 and _DECOYS[name]:
        task = find(str(rng.choice(_DECOYS[name])))
    ids = VOCABULARY.tokenise(_paraphrase(rng, task.words) if rng.random() < 0.5 else task.words)
    if 0.45 <= u < 0.55:
        for _, first, count in VOCABULARY.mentions(ids):
            if rng.random() < 0.6:
                ids[first : first + count] = UNKNOWN
    return ids


def _paraphrase(rng: np.random.Generator, text: str) -> str:
    fitting = [row for row in _PARAPHRASES if text.startswith(row[0]) and row[1] in text]
    if not fitting:
        return text
    begin, contained, begin_then, contained_then = fitting[rng.integers(len(fitting))]
    return (begin_then + text.removeprefix(begin)).replace(contained, contained_then, 1)
