# ruff: noqa: E501, SIM905 (tables of wordings and word lists)
"""How the pre-training text of ``tiny`` puts a task into words: definitions, short questions, and what lies beside them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from snibench.data.mini.grammar import sentence


@dataclass(frozen=True)
class Lesson:
    """One definition and its questions, before they are laid out; ``labels`` empty = answers are written out."""

    view: str
    definition: str
    labels: tuple[str, ...]
    questions: tuple[tuple[str, str], ...]  # input, answer


@dataclass(frozen=True)
class Row:
    """A page as text: a prefix, then branches that see the prefix and themselves alone.

    A branch is a list of (text, is answer). ``view`` says what it was drawn from.
    """

    view: str
    prefix: str
    branches: tuple[tuple[tuple[str, bool], ...], ...]


# ------------------------------------------------------------------------------ definitions

INTRO = (
    "In this task you are given {}.", "You will be given {}.", "The input is {}.", "Read {}.", "You get {}.",
    "You see {}.", "Here is {}.", "Below you find {}.", "Consider {}.", "Given is {}.", "We show you {}.", "Look at {}.",
)  # fmt: skip
_ASK = (
    "Your task is to {}.", "Please {}.", "You need to {}.", "The goal is to {}.", "You should {}.", "Try to {}.",
    "You have to {}.", "Your job is to {}.", "You are asked to {}.", "It is your duty to {}.",
)  # fmt: skip
LIST = (
    "Answer with {}.", "The answer is {}.", "Possible answers are {}.", "Output one of {}.", "Choose between {}.",
    "Reply with {}.", "Use the labels {}.", "Generate {}.", "The labels are {}.", "Only {} are allowed.", "Say {}.",
)  # fmt: skip
CLAUSE = (
    "Output {label} if {what}.", "If {what}, answer {label}.", "Say {label} when {what}.", "Write {label} if {what}.",
    "{label} means that {what}.", "When {what}, the answer is {label}.", "Use {label} if {what}.",
)  # fmt: skip
REST = ("Otherwise answer {}.", "Else output {}.", "In all other cases say {}.", "If not, write {}.")
_BARE = ("Write only the answer.", "Do not explain it.", "Keep it short.", "Nothing else is needed.", "", "", "", "")


def listing(rng: Random, labels: Sequence[str]) -> str:
    """``labels`` as a list with a last "or" or "and"."""
    *head, last = labels
    return rng.choice((", ", ", ", " / ")).join(head) + rng.choice((" or ", " or ", " and ")) + last


def definition_of(
    rng: Random, inputs: str, ask: str, labels: Sequence[str], whats: Sequence[str], clauses: bool
) -> str:
    """A definition; ``clauses`` = what each label means must be told, else it is told sometimes."""
    quote = '"{}"' if rng.random() < 0.2 else "{}"
    named = [quote.format(label) for label in labels]
    parts = [rng.choice(INTRO).format(inputs)] if rng.random() < 0.85 else []
    parts.append(demand(rng, ask))
    if labels and (clauses or rng.random() < 0.45):
        shape = rng.choice(CLAUSE)
        order = list(zip(named, whats, strict=True))
        rng.shuffle(order)
        if len(order) == 2 and rng.random() < 0.4:
            told = [shape.format(label=order[0][0], what=order[0][1]), rng.choice(REST).format(order[1][0])]
        else:
            told = [shape.format(label=label, what=what) for label, what in order]
        if rng.random() < 0.3:
            told.append(rng.choice(LIST).format(listing(rng, named)))
        parts.extend(sentence(t) if quote == '"{}"' else t for t in told)
    elif labels:
        shuffled = list(named)
        rng.shuffle(shuffled)
        parts.append(rng.choice(LIST).format(listing(rng, shuffled)))
    else:
        parts.append(rng.choice(_BARE))
    if rng.random() < 0.35:
        parts.insert(rng.randint(0, len(parts)), padding(rng))
    return " ".join(p for p in parts if p)


def demand(rng: Random, ask: str) -> str:
    """``ask``, an infinitive or a sentence with its mark, as a sentence."""
    if ask[-1] in ".?":
        return ask
    return rng.choice(_ASK).format(ask) if rng.random() < 0.8 else sentence(ask) + "."


def weathered(rng: Random, text: str, kept: Sequence[str]) -> str:
    """``text`` with some words left out, replaced or put in; never those of ``kept``.

    A definition says more than it must. Who has read only whole ones clings to their exact wording.
    """
    holy = _LINKS | {word.strip(_MARKS).lower() for phrase in kept for word in phrase.split()}
    share = rng.uniform(0.02, 0.12)
    out: list[str] = []
    for word in text.split():
        bare = word.strip(_MARKS)
        if bare.lower() in holy or not bare.isalpha() or rng.random() >= share:
            out.append(word)
        elif (chance := rng.random()) < 0.4:
            out.append(word.replace(bare, rng.choice(_COMMON)))
        elif chance < 0.6:
            out += [rng.choice(_COMMON), word]
    return " ".join(out)


_LINKS = frozenset("if when where means otherwise else not cases other say output answer write use label".split())
_MARKS = ".,:;?!\"'()/"

# Real definitions hold words that were never trained on; these teach to read past them.
_ASIDE = (
    "The text comes from the {} {}.",
    "Note that {} may be {}.",
    "It is known as {}.",
    "Think of a {} {}.",
    "Mind the {}.",
    "Every {} counts.",
)
SYLLABLES = tuple("ba con de er fi gra in ka lo mi nu or pre qui ra st ta ing un ver wo ex ly ment tion al".split())


_COMMON = tuple(
    """
again against age agent all already also always another anything around artist asking author away back bank because become before
begin begins both briefly bring brought by captain card careful carefully catalogue categories category change changes cities claim
class colleagues comment comments compare complaints complete contain context corrected costs could critic criticises currency data
deed delivery denote describe describes destination detail details diary different dish doubled during each editor either elsewhere
end entry even every evidence exactly example examples expresses extract fact farm feeling fill find firms flight fly following
friends from further gardener gives great group guest guests happened harbour headline help hotel house how hungry idea ignore
important information journey just keep keeps kind language later learn leave led lends less librarian library line list listeners
lists log long machine main many mark matter meals mean meaning meanwhile member members mention mentions message messages mood more
most must name names nearly never news next note notes number offers often once one only order other others otherwise own part
passenger passengers people phrase piece place plan point police politely praises printed proposed question reader readers real
reason repair reply report reporters reports restaurant right rule sale same seats section sections select seller sends sentence
short shown single some somebody something speaker speaks stand starts stay still stops store story stranger studio subject subjects
such take talk talks telling text thankful their then there these things think three together tools topic traffic traveller turn two
type typed under use used view visitor visitors way week what whether which while who whole why with without word words world write
writer writes writing written
""".split()
)


def padding(rng: Random) -> str:
    """A sentence that says nothing: pseudo-words in a frame, or common words in a row."""
    if rng.random() < 0.4:
        return rng.choice(_ASIDE).format(_pseudoword(rng), _pseudoword(rng))
    return sentence(" ".join(rng.sample(_COMMON, rng.randint(3, 9)))) + "."


def _pseudoword(rng: Random) -> str:
    return "".join(rng.choices(SYLLABLES, k=rng.randint(1, 3)))


# --------------------------------------------------------------------------- short questions

_CHOOSE = ("{A}: {L}?", "{A}, {L}?", "{A} ({L}).", "{A}. Choose {L}.", "{L}? {A}.", "Say {L}: {a}.", "{A}: {L}.")
_TRUTH = ("Is it true that {w}?", "{W}?", "Tell whether {w}.", "{W}, right?", "Is it so that {w}?", "Check this: {w}.")


def question_of(what: str) -> str:
    """``what``, a statement, as a question; empty where no verb like "is" or "can" stands in it."""
    found = re.fullmatch(r"(.+?) (is|are|was|were|can|should|must|may) (.+)", what)
    return sentence(f"{found[2]} {found[1]} {found[3]}?") if found else ""


def short_question(rng: Random, ask: str, labels: Sequence[str], whats: Sequence[str], truth: bool) -> str:
    """One line that asks for a thing, a choice of ``labels``, or, with ``truth``, whether ``whats[0]`` holds."""
    if not labels:
        return ask if ask[-1] in ".?" else sentence(ask) + rng.choice((".", ".", ":", ", please."))
    shuffled = rng.sample(list(labels), len(labels))
    if truth:
        asked = rng.choice(_TRUTH).format(w=whats[0], W=sentence(whats[0]))
        told = labels[0].lower() == "yes" and rng.random() < 0.5
        return asked if told else f"{asked} {rng.choice(LIST).format(listing(rng, shuffled))}"
    if rng.random() < 0.35:
        shape = rng.choice(CLAUSE)
        pairs = rng.sample(list(zip(labels, whats, strict=True)), len(labels))
        return " ".join(sentence(shape.format(label=label, what=what)) for label, what in pairs)
    if ask[-1] in ".?":
        return f"{ask} {rng.choice(LIST).format(listing(rng, shuffled))}"
    return rng.choice(_CHOOSE).format(A=sentence(ask), a=ask, L=listing(rng, shuffled))
