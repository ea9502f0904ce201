"""FormatSpread's grammar of surface features, for prompts of one input and one output field.

What is varied means nothing: how field names are cased and parted from their text, what stands between the fields, and
which of a few synonyms names a field.

Source:
    Sclar et al., Quantifying Language Models' Sensitivity to Spurious Features in Prompt Design (ICLR 2024);
    msclar/formatspread, grammar_definition.py (the lists and the constraints), commit 5b48ba2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from random import Random

# As they are listed there. " -- " stands twice in SPACINGS there, too.
SEPARATORS = ("", "::: ", ":: ", ": ", " \n\t", "\n    ", " : ", " - ", " ", "\n ", "\n\t", ":", "::", "- ", "\t")
SPACINGS = (
    *("", " ", "\n", " \n", " -- ", "  ", "; \n", " || ", " <sep> ", " -- ", ", "),
    *(" \n ", " , ", "\n ", ". ", " ,  "),
)
CASINGS = ("as written", "title", "upper", "lower")

# Not there, where every task names its own fields by hand (PROTOCOLS A.4).
INPUT_NAMES = ("Input", "Text", "Question", "Passage", "Context")
OUTPUT_NAMES = ("Output", "Answer", "Label", "Response")


@dataclass(frozen=True, slots=True, order=True)
class Surface:
    """Text of a prompt around its input: ``{before}{x}{after}``."""

    before: str
    after: str


ORIGINAL = Surface("Input: ", "\nOutput: ")


def assignments(input_name: str = "Input", output_name: str = "Output") -> Iterator[Surface]:
    """Every valid assignment of separator, spacing and casing, equal ones as often as they are reached.

    Both fields have text, so neither separator nor spacing is empty; a separator with a line break needs a spacing
    with one, else the next field would stand closer to the text than the text to its own name.
    """
    for separator, spacing, casing in product(SEPARATORS, SPACINGS, CASINGS):
        if separator and spacing and ("\n" not in separator or "\n" in spacing):
            names = (_cased(name, casing) for name in (input_name, output_name))
            shown, asked = (f"{name}{separator}" for name in names)
            yield Surface(shown, f"{spacing}{asked}")


def _cased(name: str, casing: str) -> str:
    return name if casing == "as written" else str(getattr(name, casing)())


@cache
def surfaces() -> tuple[Surface, ...]:
    """Every surface once, over all names of the two fields, in lexicographic order; ``ORIGINAL`` is one of them.

    Sorted, where the original lists a ``set``: its order, and with it what was sampled, hung on the hash seed.
    """
    named = product(INPUT_NAMES, OUTPUT_NAMES)
    return tuple(sorted({surface for names in named for surface in assignments(*names)}))


@cache
def sampled(task: str, count: int, seed: int = 0) -> tuple[Surface, ...]:
    """``count`` different surfaces for ``task``, never ``ORIGINAL``: the same for every method, run and machine.

    The generator is made here of text alone, where the original seeds Python's global one at import.
    """
    others = [surface for surface in surfaces() if surface != ORIGINAL]
    return tuple(Random(f"{seed}|{task}|surface").sample(others, count))
