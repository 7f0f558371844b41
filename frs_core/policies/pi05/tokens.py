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
            self._model = sentencepiece.SentencePieceProcessor(model_proto=data)
        except (OSError, RuntimeError) as e:
            why = said(e) if isinstance(e, OSError) else "its library cannot read it"
            raise ConfigError(f"'{path}' is not a SentencePiece file ({why}). Give paligemma_tokenizer.model.") from e
        if vocabulary is not None and self._model.vocab_size() > vocabulary:
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


def find_tokenizer(root: Path, given: Path | None = None) -> Path:
    """Return the tokenizer file: the given one, the checkpoint's, or openpi's cached one.

    Args:
        root: folder of the checkpoint.
        given: explicit path.
    Raises:
        WeightsMissing: none was found.
    """
    cache = Path(os.environ.get("OPENPI_DATA_HOME", "~/.cache/openpi")).expanduser() / "big_vision" / FILE_NAMES[0]
    candidates = [given] if given else [*(root / name for name in FILE_NAMES), cache]
    for path in candidates:
        # What is there in another form than a file is refused as what it is by `Tokenizer`, and not passed over.
        if os.path.lexists(path):
            return path
    raise WeightsMissing(
        f"No tokenizer for '{root.name}': looked at {', '.join(str(p) for p in candidates)}. "
        f"Run `frs policy fetch --tokenizer-only` or pass tokenizer=."
    )
