"""A small generalist's words: a tokenizer with a fixed vocabulary, and which of the objects it knows a text names."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from frs_core.arrays import Array

PAD, UNKNOWN = 0, 1


class Vocabulary:
    """Words as indices. Unknown words become `UNKNOWN`; words past `longest` are dropped."""

    def __init__(self, texts: Sequence[str], names: Mapping[str, int], *, count: int, longest: int = 12) -> None:
        """Collect the words.

        Args:
            texts: that contain all words.
            names: which concept a phrase names, by its number; of phrases that begin at the same word the longest counts.
            count: concepts in all.
            longest: words of a text.
        """
        self.words = tuple(sorted({word for text in (*texts, *names) for word in text.split()}))
        self.longest = longest
        self._count = count
        self._index = {word: i + 2 for i, word in enumerate(self.words)}
        phrases = {tuple(self._index[word] for word in phrase.split()): concept for phrase, concept in names.items()}
        self._phrases = dict(sorted(phrases.items(), key=lambda item: -len(item[0])))

    def __len__(self) -> int:
        """Return the number of indices, `PAD` and `UNKNOWN` included."""
        return len(self.words) + 2

    def tokenise(self, text: str) -> Int[Array, " L"]:
        """Return word indices, padded to `longest`."""
        ids = [self._index.get(word, UNKNOWN) for word in re.findall(r"[a-z]+", text.lower())][: self.longest]
        return np.array(ids + [PAD] * (self.longest - len(ids)), dtype=np.int64)

    def mentions(self, ids: Int[Array, " L"]) -> list[tuple[int, int, int]]:
        """Return what a text names, in order: concept, first word and number of words of each mention."""
        row, found, at = tuple(ids.tolist()), [], 0
        while at < len(row):
            hit = next((p for p in self._phrases if row[at : at + len(p)] == p), None)
            if hit is None:
                at += 1
            else:
                found.append((self._phrases[hit], at, len(hit)))
                at += len(hit)
        return found

    def named(self, ids: Int[Tensor, "N L"], count: int) -> Float[Tensor, "N count K"]:
        """Return which concepts texts name, in order: one row per concept, all zero where fewer are named."""
        chosen = torch.zeros(len(ids), count, self._count, device=ids.device)
        for n, row in enumerate(ids.cpu().numpy()):
            concepts = dict.fromkeys(concept for concept, _, _ in self.mentions(row))
            for k, concept in enumerate(list(concepts)[:count]):
                chosen[n, k, concept] = 1.0
        return chosen
