"""Ask a model, again where it fails in passing, and keep what it answered.

Problem: a run of thousands of questions meets late answers and full servers; it costs money, and it is to repeat exactly. Idea: an
answer is kept on disk under a digest of everything that was sent (address, model, texts, images). The same question is answered from
there, so a run that is interrupted or repeated asks only what it has not asked. What cannot be read is not kept.

Example: 20 chunks with one picture each are 20 requests of about 40 kB; the second run sends none. Any thread; several processes may
share a folder. A question waits up to `longest_wait_s`.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from frs_core.choosers.chat import ChatEndpoint
from frs_core.choosers.completion import Answer
from frs_core.counts import counted
from frs_core.errors import ModelRefused, PolicyError
from frs_core.runtime.files import write_whole
from frs_core.runtime.foreign import MALFORMED, read_json

T = TypeVar("T")

FOLDER = "judgements"
"""Folder of kept answers in a recording root."""
TRIES = 3
"""How often a run that nobody watches asks one question."""
PAUSE_S = 2.0
"""Before the second try; before each further one twice as long. Guess."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What a model's answers took."""

    model: str
    """Its name and address."""
    answers: int = 0
    calls: int = 0
    """Requests sent, repeated ones included."""
    cached: int = 0
    """Answers that were kept from earlier."""
    seconds: tuple[float, ...] = ()
    """Per answer, from the request to the whole answer; of a kept one, when it was asked for."""
    counted: int = 0
    """Answers whose tokens the endpoint stated."""
    tokens_in: int = 0
    tokens_out: int = 0

    def with_answer(self, answer: Answer, *, calls: int) -> "Spent":
        """Return the sum with one more answer; no calls = it was kept."""
        is_counted = answer.tokens_in is not None and answer.tokens_out is not None
        return Spent(
            self.model,
            self.answers + 1,
            self.calls + calls,
            self.cached + (calls == 0),
            (*self.seconds, round(answer.seconds, 3)),
            self.counted + is_counted,
            self.tokens_in + (answer.tokens_in or 0) * is_counted,
            self.tokens_out + (answer.tokens_out or 0) * is_counted,
        )


class Answers:
    """Asks one endpoint.

    Args:
        endpoint: whom to ask.
        cache: folder for answers, made with the first; None = nothing is kept.
        tries: how often one question is asked.
        pause_s: before the second try.
    """

    def __init__(
        self, endpoint: ChatEndpoint, *, cache: Path | None = None, tries: int = 1, pause_s: float = PAUSE_S
    ) -> None:
        self.endpoint = endpoint
        self._cache, self._tries, self._pause_s = cache, tries, pause_s
        self.spent = Spent(endpoint.name)

    @property
    def longest_wait_s(self) -> float:
        """Longest time for one question, seconds."""
        return self._tries * self.endpoint.timeout_s + sum(self._pauses())

    def begin(self) -> None:
        """Reset the counts."""
        self.spent = Spent(self.endpoint.name)

    def ask(self, instruction: str, content: Sequence[Mapping[str, Any]], read: Callable[[str], T]) -> T:
        """Return the model's answer as `read` understands it.

        Args:
            instruction: the system's message.
            content: parts of the user's message.
            read: turns the words into what was asked for; raises PolicyError where they are something else.
        Raises:
            PolicyTimeout: no answer in time.
            ModelRefused: the endpoint refuses the request.
            PolicyError: no connection, another refusal, an answer that cannot be read, or a disk that cannot keep it.
        """
        body = self.endpoint.body(instruction, content)
        path = None if self._cache is None else self._cache / f"{self._digest(body)}.json"
        if path is not None and (kept := _kept(path)) is not None:
            try:
                found = read(kept.text)
            except PolicyError:
                pass  # Asked again below.
            else:
                self.spent = self.spent.with_answer(kept, calls=0)
                return found
        answer, found, calls = self._asked(body, read)
        if path is not None:
            self._keep(path, answer)
        self.spent = self.spent.with_answer(answer, calls=calls)
        return found

    def _asked(self, body: bytes, read: Callable[[str], T]) -> tuple[Answer, T, int]:
        """Return an answer, what it says, and after how many calls."""
        for calls, pause in enumerate((*self._pauses(), None), start=1):
            try:
                answer = self.endpoint.answer(body)
                return answer, read(answer.text), calls
            except ModelRefused:
                raise
            except PolicyError as error:
                if pause is None and calls == 1:
                    raise
                if pause is None:
                    raise type(error)(f"{error} It was asked {counted(calls, 'time')}.") from error
                time.sleep(pause)
        raise AssertionError  # The last pass returns or raises.

    def _pauses(self) -> list[float]:
        return [self._pause_s * 2**i for i in range(self._tries - 1)]

    def _digest(self, body: bytes) -> str:
        return hashlib.sha256(self.endpoint.url.encode() + b"\n" + body).hexdigest()

    def _keep(self, path: Path, answer: Answer) -> None:
        kept = {**asdict(answer), "model": self.endpoint.model}
        try:
            write_whole(path, (json.dumps(kept) + "\n").encode())
        except OSError as error:
            raise PolicyError(
                f"The model's answer could not be kept in '{path}': {error.strerror or error}. Free some space and give the "
                f"same command again."
            ) from error


def _kept(path: Path) -> Answer | None:
    """Return a former answer; None where there is none, or none that can be read."""
    try:
        found = read_json(path)
        tokens = [found[name] if isinstance(found[name], int) else None for name in ("tokens_in", "tokens_out")]
        return Answer(str(found["text"]), float(found["seconds"]), *tokens)
    except (OSError, *MALFORMED):
        return None
