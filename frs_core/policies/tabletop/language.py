"""The tabletop generalist's words, and the random descriptions of its demonstrations.

A training sample gets a new description every time it is drawn: a precise one, one with unknown nouns, a vague one, or a wrong
one, which names the object but a place where nobody put it. So one trajectory teaches both "put the mug on the plate" and "tidy up"; words
outside the vocabulary act as a vague instruction, and a place in a new combination says nothing.
"""

import numpy as np
from jaxtyping import Int

from frs_core.arrays import Array
from frs_core.policies.generalist.vocabulary import UNKNOWN, Vocabulary
from frs_core.worlds.tabletop.objects import MOVABLES, RECEPTACLES
from frs_core.worlds.tabletop.tasks import DRAWER, HELD_OUT, TASKS, Task, TaskKind, preposition

CONCEPTS: tuple[str, ...] = (
    "mug",
    "can",
    "cup",
    "carton",
    "box",
    "sponge",
    "plate",
    "bowl",
    "stand",
    "basket",
    "drawer",
)
"""Objects that the vision encoder locates in every image."""

_PRECISE = (
    "put the {m} {prep} the {p}",
    "place the {m} {prep} the {p}",
    "move the {m} to the {p}",
    "set the {m} {prep} the {p}",
    "{m} {prep} the {p}",
)
_VAGUE = (
    "tidy up the table",
    "clean up",
    "do something useful",
    "put something away",
    "help me",
    "move something",
    "",
)
_OPEN = ("open the drawer", "pull the drawer open", "pull the drawer")
_CLOSE = ("close the drawer", "push the drawer closed", "shut the drawer")


def _vocabulary() -> Vocabulary:
    texts = [*_VAGUE, *_OPEN, *_CLOSE, *(t.format(m="", prep="in on", p="") for t in _PRECISE), "into onto pick up"]
    words = {name: item.words for name, item in (*MOVABLES.items(), *RECEPTACLES.items())} | {DRAWER: (DRAWER,)}
    nouns = [text for item in words.values() for text in item]
    # Words of several objects, such as colours, name none.
    names = {text.split()[-1]: i for i, concept in enumerate(CONCEPTS) for text in words[concept]}
    return Vocabulary([*texts, *nouns], names, count=len(CONCEPTS))


VOCABULARY = _vocabulary()
_NEVER = {m: [str(TASKS[name].place) for name in HELD_OUT if TASKS[name].movable == m] for m in MOVABLES}
"""Where nobody puts an object: the places of its held-out tasks."""


def describe(rng: np.random.Generator, task: Task) -> Int[Array, " 12"]:
    """Return one random description of a task's demonstration, as word indices.

    45 % precise, 10 % with some nouns unknown, 25 % vague, 20 % wrong: the place is one where nobody put this object. Descriptions
    of the drawer's tasks are never wrong.
    """
    kind, movable, place = task.kind, task.movable, task.place
    u = rng.random()
    if u < 0.25:
        return VOCABULARY.tokenise(str(rng.choice(_VAGUE)))
    if kind is TaskKind.PUT:
        if u < 0.45:
            place = str(rng.choice(_NEVER[str(movable)]))
        assert movable
        assert place
        m = str(rng.choice(MOVABLES[movable].words)) if rng.random() < 0.4 else movable
        p_words = RECEPTACLES[place].words if place in RECEPTACLES else (DRAWER,)
        p = str(rng.choice(p_words)) if rng.random() < 0.4 else place
        template = _PRECISE[0] if rng.random() < 0.5 else str(rng.choice(_PRECISE))
        text = template.format(m=m, p=p, prep=preposition(place))
    else:
        options = _OPEN if kind is TaskKind.OPEN else _CLOSE
        text = options[0] if rng.random() < 0.6 else str(rng.choice(options))
    ids = VOCABULARY.tokenise(text)
    if 0.45 <= u < 0.55:
        for _, first, count in VOCABULARY.mentions(ids):
            if rng.random() < 0.6:
                ids[first : first + count] = UNKNOWN
    return ids
