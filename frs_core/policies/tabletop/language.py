"""The generalist's tokenizer with its small vocabulary, and the random descriptions of its demonstrations.

A training sample gets a new description every time it is drawn: a precise one, one with unknown nouns, a vague one, or a wrong
one, which names the object but a place where nobody put it. So one trajectory teaches both "put the mug on the plate" and "tidy up"; words
outside the vocabulary act as a vague instruction, and a place in a new combination says nothing.
"""

import re

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from frs_core.arrays import Array
from frs_core.policies.tabletop.config import CONCEPTS
from frs_core.worlds.tabletop.objects import MOVABLES, RECEPTACLES
from frs_core.worlds.tabletop.tasks import DRAWER, HELD_OUT, TASKS, TaskKind, preposition

MAX_WORDS = 12
PAD, UNKNOWN = 0, 1

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


def _words() -> tuple[str, ...]:
    texts = [*_VAGUE, *_OPEN, *_CLOSE, *(t.format(m="", prep="in on", p="") for t in _PRECISE), "into onto pick up"]
    nouns = [w for item in (*MOVABLES.values(), *RECEPTACLES.values()) for w in item.words]
    words = {w for text in (*texts, *nouns, DRAWER) for w in text.split()}
    return tuple(sorted(words))


VOCABULARY = _words()
_INDEX = {w: i + 2 for i, w in enumerate(VOCABULARY)}
VOCABULARY_SIZE = len(VOCABULARY) + 2
_NEVER = {m: [str(TASKS[name].place) for name in HELD_OUT if TASKS[name].movable == m] for m in MOVABLES}
"""Where nobody puts an object: the places of its held-out tasks."""


def _nouns() -> Int[Array, " V"]:
    """Return the object that each word index names, or -1. Words of several objects, such as colours, name none."""
    names = dict.fromkeys(range(VOCABULARY_SIZE), -1)
    words = {name: item.words for name, item in (*MOVABLES.items(), *RECEPTACLES.items())} | {DRAWER: (DRAWER,)}
    for i, concept in enumerate(CONCEPTS):
        for text in words[concept]:
            names[_INDEX[text.split()[-1]]] = i
    return np.array(list(names.values()))


_NOUNS = _nouns()


def named(ids: Int[Tensor, "N 12"], count: int) -> Float[Tensor, "N count K"]:
    """Return which objects the words name, in order: one row per object, all zero where fewer are named."""
    chosen = torch.zeros(len(ids), count, len(CONCEPTS), device=ids.device)
    for n, row in enumerate(ids.tolist()):
        concepts = dict.fromkeys(int(_NOUNS[i]) for i in row if _NOUNS[i] >= 0)
        for k, concept in enumerate(list(concepts)[:count]):
            chosen[n, k, concept] = 1.0
    return chosen


def tokenise(text: str) -> Int[Array, " 12"]:
    """Return word indices, padded; unknown words become UNKNOWN, words past the twelfth are dropped."""
    ids = [_INDEX.get(w, UNKNOWN) for w in re.findall(r"[a-z]+", text.lower())][:MAX_WORDS]
    return np.array(ids + [PAD] * (MAX_WORDS - len(ids)), dtype=np.int64)


def describe(rng: np.random.Generator, *, kind: TaskKind, movable: str | None, place: str | None) -> Int[Array, " 12"]:
    """Return one random description of a demonstration, as word indices.

    45 % precise, 10 % with some nouns unknown, 25 % vague, 20 % wrong: the place is one where nobody put this object. Descriptions
    of the drawer's tasks are never wrong.
    """
    u = rng.random()
    if u < 0.25:
        return tokenise(str(rng.choice(_VAGUE)))
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
    ids = tokenise(text)
    if 0.45 <= u < 0.55:
        hide = np.array([_NOUNS[i] >= 0 and rng.random() < 0.6 for i in ids])
        ids = np.where(hide, UNKNOWN, ids)
    return ids
