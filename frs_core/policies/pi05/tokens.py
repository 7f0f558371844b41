"""The prompt as tokens, in the two forms that pi0.5 checkpoints were trained with.

| form | text | used by |
|---|---|---|
| STATE_TEXT | `Task: pick up the cup, State: 12 255 .. 3;` newline `Action: ` | openpi's DROID checkpoints, all of LeRobot's |
| PLAIN | `pick up the cup`, then a newline token | openpi's pi05_libero; the state is not used |

The state is text: every number of the normalised state as one of 256 bins. The vocabulary is PaliGemma's SentencePiece
file (public; `frs policy fetch` gets it). No padding is added. Runs on the inference worker.
"""

import enum
import logging
import os
import shlex
from pathlib import Path

import numpy as np
from jaxtyping import Float

from frs_core.arrays import Array
from frs_core.errors import ConfigError, WeightsMissing
from frs_core.runtime.foreign import read_bytes, said

MAX_TOKENS = 200
"""Longest prompt a checkpoint was trained with. Source: openpi pi0_config.py, pi05."""

BINS = 256
"""Bins per state number over -1..1. Source: openpi models/tokenizer.py."""

_LARGEST = 100 << 20
"""Bytes; PaliGemma's file has 4 MB."""

_SPARE = 64
"""Rows of an embedding beyond the words of its tokenizer, at most. Source: PaliGemma's configuration in transformers, 257,216 for 257,152 words."""

FILE_NAMES = ("paligemma_tokenizer.model", "tokenizer.model")

_log = logging.getLogger(__name__)


class PromptForm(enum.Enum):
    """Format of the prompt."""

    STATE_TEXT = "state_text"
    PLAIN = "plain"


def state_bins(state: Float[Array, " n"]) -> list[int]:
    """Return the bin of each normalised number: 0..255, or -1 below the range."""
    edges = np.linspace(-1.0, 1.0, BINS + 1)[:-1]
    return [int(b) for b in np.digitize(state, bins=edges) - 1]


def prompt_parts(form: PromptForm, instruction: str, state: Float[Array, " n"]) -> tuple[str, ...]:
    """Return the pieces of text that are encoded one after the other.

    Args:
        form: the checkpoint's form.
        instruction: what to do, in words.
        state: normalised state; unused by PLAIN.
    """
    text = instruction.strip().replace("_", " ").replace("\n", " ")
    if form is PromptForm.PLAIN:
        return text, "\n"
    bins = " ".join(str(b) for b in state_bins(state))
    return (f"Task: {text}, State: {bins};\nAction: ",)


class Tokenizer:
    """PaliGemma's SentencePiece vocabulary."""

    def __init__(self, path: Path, *, vocabulary: int | None) -> None:
        """Read the file.

        Args:
            path: the SentencePiece model.
            vocabulary: rows of the network's embedding; None where they are not known.
        Raises:
            ConfigError: sentencepiece is not installed, or the file belongs to another network.
        """
        try:
            import sentencepiece
        except ImportError as e:
            raise ConfigError("Prompts need sentencepiece. Install it: pip install 'frs-cockpit[pi05]'.") from e
        try:
            # From its bytes: a path may hold bytes that are no text, which the library does not take.
            data = read_bytes(path, limit=_LARGEST, may_link=True)
            if not data:
                raise OSError("it is empty")
            if not _is_whole(data):
                raise OSError("it is cut off: the parts that follow its words are missing")
            self._model = sentencepiece.SentencePieceProcessor(model_proto=data)
        except (OSError, RuntimeError) as e:
            why = said(e) if isinstance(e, OSError) else "its library cannot read it"
            raise ConfigError(f"'{path}' is not a SentencePiece file ({why}). Give paligemma_tokenizer.model.") from e
        if self._model.bos_id() < 0:
            raise ConfigError(
                f"Tokenizer '{path}' has no word for the begin of a text, with which every prompt begins. Give the file that belongs to the checkpoint "
                f"(paligemma_tokenizer.model)."
            )
        if vocabulary is not None and not vocabulary - _SPARE <= self._model.vocab_size() <= vocabulary:
            raise ConfigError(
                f"Tokenizer '{path}' has {self._model.vocab_size()} words, the network knows {vocabulary}. "
                f"Give the file that belongs to the checkpoint (paligemma_tokenizer.model)."
            )
        self.path = path

    def encode(self, form: PromptForm, instruction: str, state: Float[Array, " n"]) -> list[int]:
        """Return the prompt's tokens, begin-of-text included, at most `MAX_TOKENS`."""
        tokens = [self._model.bos_id()]
        for part in prompt_parts(form, instruction, state):
            tokens += self._model.encode(part)
        if len(tokens) > MAX_TOKENS:
            _log.warning(
                "The prompt has %d tokens and is truncated to %d; shorten the instruction.", len(tokens), MAX_TOKENS
            )
        return tokens[:MAX_TOKENS]


def _is_whole(data: bytes) -> bool:
    """Return whether a SentencePiece model has all that a reader needs: words, how it was trained, how texts are normalised.

    A file that was cut between two words is read by the library without complaint. Source: sentencepiece_model.proto, whose fields 2 and 3
    follow the words (field 1); fields are written as in protobuf's encoding.
    """
    at, end, found = 0, len(data), set[int]()
    while at + 1 < end:
        while at + 1 < end and data[at] == _WORD and data[at + 1] < 128:
            at += 2 + data[at + 1]
            found.add(1)
        if at + 1 >= end:
            break
        tag, at = _varint(data, at)
        size, at = _varint(data, at)
        if tag & 7 != 2:
            return True  # of another kind: the library judges it
        found.add(tag >> 3)
        at += size
    return at == end and found >= {1, 2, 3}


_WORD = 1 << 3 | 2
"""Tag of a word, field 1 with a length."""


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of protobuf's encoding, and where the next begins."""
    value = shift = 0
    while at < len(data):
        byte = data[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128 or shift > 63:
            break
    return value, at


def find_tokenizer(root: Path, given: Path | None = None) -> Path:
    """Return the tokenizer file: the given one, the checkpoint's, the one that `frs policy fetch` put beside the folder, or openpi's cached one.

    Args:
        root: folder of the checkpoint.
        given: explicit path.
    Raises:
        WeightsMissing: none was found.
    """
    cache = Path(os.environ.get("OPENPI_DATA_HOME", "~/.cache/openpi")).expanduser() / "big_vision" / FILE_NAMES[0]
    beside = root.absolute().parent / FILE_NAMES[0]
    candidates = [given] if given else [*(root / name for name in FILE_NAMES), beside, cache]
    for path in candidates:
        # What is there in another form than a file is refused as what it is by `Tokenizer`, and not passed over.
        if os.path.lexists(path):
            return path
    raise WeightsMissing(
        f"No tokenizer for '{root.name}': looked at {', '.join(str(p) for p in candidates)}. "
        f"Get it with `frs policy fetch --tokenizer-only --out {shlex.quote(str(root))}`, or give --tokenizer FILE (option tokenizer)."
    )
