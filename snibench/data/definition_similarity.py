"""Similarity of tasks by the words of their definitions: no model, so that anybody can recompute it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from math import log

import numpy as np
from numpy.typing import NDArray

_WORD = re.compile(r"\w+")


def definition_similarity(definitions: Sequence[str]) -> NDArray[np.float64]:
    """``[T, T]`` cosines of the TF-IDF vectors of ``definitions``, in [0, 1]; 1 on the diagonal.

    Words are lower-cased runs of letters and digits. A word counts (1 + ln occurrences) times
    (ln((1 + T) / (1 + df)) + 1), df the number of definitions that have it, so that what every definition says ("you
    are given ...") weighs little. A definition without words is like nothing, itself included.

    Source:
        Salton and Buckley, Information Processing and Management 24 (1988); the smoothing is scikit-learn's.
    """
    counts = [Counter(_WORD.findall(text.lower())) for text in definitions]
    place = {word: index for index, word in enumerate(sorted(set().union(*counts)))}
    spread = Counter(word for words in counts for word in words)
    vectors = np.zeros((len(counts), len(place)))
    for row, words in enumerate(counts):
        for word, count in words.items():
            rarity = log((1 + len(counts)) / (1 + spread[word])) + 1
            vectors[row, place[word]] = (1 + log(count)) * rarity
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    return np.asarray(np.clip(unit @ unit.T, 0.0, 1.0))
