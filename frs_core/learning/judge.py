"""Reward by a model: a vision-language model says from images of an episode how far the task had come.

Problem: a robot does not know whether it succeeded, and a person who labels every attempt is soon tired. Idea: images of the chunks'
boundaries go to a chat-completions endpoint in one request, in order; it answers with one number per image, 0 = nothing done,
1 = done. What a chunk added to the progress reached before is its reward.

Answers are kept on disk (`choosers/answers.py`): the same images are never paid for twice, and a resumed practice meets the
same rewards. A model that is late, refuses, or answers something else is an error, never a guess.

Example: an episode of 16 chunks has 17 boundaries; 8 of them are sent (about 200 kB), the others lie in between. Any process; a call
waits up to `timeout_s`.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from frs_core.arrays import Array
from frs_core.choosers.answers import Answers
from frs_core.choosers.chat import ChatEndpoint, image_part, text
from frs_core.errors import PolicyError
from frs_core.runtime.foreign import MALFORMED, in_line, parse_json

DONE = 0.9
"""Progress from which an attempt counts as a success."""
MOST_IMAGES = 8
_PROMPT = """You judge how far a robot arm has come with a task, from pictures of one attempt in the order in which they were taken. \
Progress is 0.0 where nothing of the task is done and 1.0 where the task is done and the robot has let go; approaching the right \
thing is about 0.2, holding it about 0.4, carrying it to its place about 0.7. It may fall again. Answer with JSON alone: \
{"progress": [one number per picture]}."""


class Judge:
    """Asks an endpoint once per episode.

    Args:
        endpoint: whom to ask.
        cache: folder for answers; made.
    """

    def __init__(self, endpoint: ChatEndpoint, *, cache: Path) -> None:
        self._answers = Answers(endpoint, cache=cache)

    def progress(self, images: Sequence[UInt8[Array, "H W 3"]], task: str) -> Float[Array, " N"]:
        """Return how far the task had come in each image, 0..1.

        Args:
            images: in the order they were taken, at least one.
            task: as the policy reads it.
        Raises:
            PolicyTimeout: no answer in time.
            PolicyError: no connection, a refusal, an answer that is not one number in 0..1 per image, or one that could not be
                kept.
        """
        sent = np.unique(np.linspace(0, len(images) - 1, min(MOST_IMAGES, len(images))).round().astype(int))
        shown = [images[i] for i in sent]
        content = [text(f"Task: {task}\nThere are {len(shown)} pictures."), *map(image_part, shown)]
        answer = self._answers.ask(_PROMPT, content, lambda words: _numbers(words, len(shown)))
        return np.interp(np.arange(len(images)), sent, answer)


def _numbers(answered: str, count: int) -> list[float]:
    """Return the numbers of an answer. Raises PolicyError for any other."""
    start, end = answered.find("{"), answered.rfind("}")
    try:
        return _checked(parse_json(answered[start : end + 1])["progress"], count)
    except MALFORMED as error:
        raise PolicyError(
            f"The model answered '{in_line(answered[:80])}', expected JSON with 'progress', {count} numbers in 0..1 ({error}). Give the "
            f"same command again to ask again, choose another model, or leave --reward vlm out."
        ) from error


def _checked(values: object, count: int) -> list[float]:
    """Return values that are progress. Raises ValueError for others."""
    if not isinstance(values, list) or len(values) != count:
        raise ValueError(f"got {len(values) if isinstance(values, list) else 'no list'}")
    numbers = [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) != count or not all(0.0 <= v <= 1.0 for v in numbers):
        raise ValueError("not all are numbers in 0..1")
    return numbers
