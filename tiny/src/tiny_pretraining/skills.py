# ruff: noqa: E501 (tables of words)
"""Pure skills of the pre-training text of ``tiny``: copying, kinds of words, opposites, comparing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from snibench.data.mini import words as w
from snibench.data.mini.grammar import article
from tiny_pretraining.views import YES
from tiny_pretraining.wording import Lesson, definition_of

OPPOSITES = tuple(
    pair.split("/")
    for pair in [
        "hot/cold",
        "big/small",
        "old/new",
        "wet/dry",
        "open/closed",
        "early/late",
        "high/low",
        "fast/slow",
        "full/empty",
        "rich/poor",
        "strong/weak",
        "hard/soft",
        "light/dark",
        "loud/quiet",
        "near/far",
        "clean/dirty",
        "happy/sad",
        "young/old",
        "thick/thin",
        "true/false",
    ]
)

BAG = tuple(dict.fromkeys([
    *w.NAMES, *w.CITIES, *w.COMPANIES, *w.DAYS, *w.MONTHS, *w.COLOURS, *w.SMALL, *w.PRAISE, *w.BLAME, *w.DISHES, *w.ROOMS, *w.JOBS,
    *(x for things in w.THINGS.values() for x in things), *(x for k in w.KINDS.values() for x in k),
    *(x for d in w.OBJECTS.values() for x in d), *(agent for _, agents, _ in w.TOPICS.values() for agent in agents),
    *(x for items, places in w.SCENES.values() for x in (*items, *places)), *(v for vs in w.VERBS.values() for four in vs for v in four),
    *(n for gs in w.GOODS.values() for pair in gs for n in pair), *(x for triple in w.ADJECTIVES for x in triple),
    *(x for pair in OPPOSITES for x in pair),
    *(x for d in w.INTENTS.values() for labels, _, _ in d.values() for x in labels), *(x for labels, _, _ in w.TOPICS.values() for x in labels),
]))  # fmt: skip


def _skill(
    name: str,
    rng: Random,
    count: int,
    definition: str,
    draw: Callable[[], tuple[str, str]],
    labels: Sequence[str] = (),
) -> Lesson:
    questions: dict[str, str] = {}
    for _ in range(count * 4):
        if len(questions) < count:
            questions.setdefault(*draw())
    return Lesson(f"skill/{name}", definition, tuple(sorted(labels)), tuple(questions.items()))


def _words(rng: Random, low: int = 3, high: int = 7) -> list[str]:
    return rng.sample(BAG, rng.randint(low, high))


def copying(rng: Random, count: int) -> Lesson:
    """Copies of the input or of a part of it."""
    which = rng.choice(
        ("first", "last", "second", "after", "bracket", "quoted") * 3 + ("all", "all", "reverse", "but first")
    )
    asks = {
        "all": ("repeat the words", "copy the input", "write the same words again"),
        "first": ("write the first word", "copy only the word at the start", "give the word that comes first"),
        "last": ("write the last word", "copy only the word at the end", "give the word that comes last"),
        "second": ("write the second word", "copy only the word in second place"),
        "reverse": ("write the words in reverse order", "repeat the words backwards"),
        "after": (
            "write the word after {key}",
            "copy the word that follows {key}",
            "find {key} and give the next word",
        ),
        "bracket": ("write the word in brackets", "copy the marked word", "extract what stands in brackets"),
        "but first": ("write all words but the first", "drop the first word and copy the rest"),
        "quoted": ("copy the quoted word", "write what is quoted", "give the word between the quotes"),
    }[which]
    key = rng.choice(BAG)
    ask = rng.choice(asks).format(key=key)
    definition = definition_of(
        rng, rng.choice(("a list of words", "some words", "a row of words", "several words")), ask, (), (), False
    )

    def draw() -> tuple[str, str]:
        items = [x for x in _words(rng) if x != key]
        if which == "after":
            spot = rng.randrange(len(items))
            items.insert(spot, key)
            return " ".join(items), items[spot + 1]
        if which in ("bracket", "quoted"):
            spot = rng.randrange(len(items))
            shown = f"[{items[spot]}]" if which == "bracket" else f'"{items[spot]}"'
            return " ".join([*items[:spot], shown, *items[spot + 1 :]]), items[spot]
        answer = {
            "all": items,
            "first": items[:1],
            "last": items[-1:],
            "second": items[1:2],
            "reverse": items[::-1],
            "but first": items[1:],
        }[which]
        return " ".join(items), " ".join(answer)

    return _skill("copying", rng, count, definition, draw)


def membership(rng: Random, count: int) -> Lesson:
    """Kinds of words: which kind, or yes and no."""
    kinds = rng.sample(tuple(w.KINDS), rng.randint(2, 5))
    kind = kinds[0]
    if rng.random() < 0.5:
        yes, no = rng.choice(YES)
        definition = definition_of(
            rng,
            "a word",
            rng.choice((f"decide whether it is {article(kind)}", f"check if the word is a kind of {kind}")),
            (yes, no),
            (f"it is {article(kind)}", "it is something else"),
            True,
        )
        label = {k: yes if k == kind else no for k in kinds}
    else:
        label = {k: k for k in kinds}
        definition = definition_of(
            rng,
            "a word",
            rng.choice(("tell its kind", "classify the word", "sort the word")),
            tuple(label.values()),
            [f"it is {article(k)}" for k in kinds],
            False,
        )

    def draw() -> tuple[str, str]:
        k = kind if rng.random() < 1 / len(kinds) else rng.choice(kinds)
        return rng.choice([x for x in w.KINDS[k] if sum(x in w.KINDS[o] for o in kinds) == 1]), label[k]

    return _skill("membership", rng, count, definition, draw, set(label.values()))


def opposite(rng: Random, count: int) -> Lesson:
    """Opposites, synonyms, digits for number words."""
    tables = {
        "opposite": dict([*((a, b) for a, b in OPPOSITES), *((b, a) for a, b in OPPOSITES)]),
        "digit": w.DIGIT,
        "synonym": {a: b for a, b, _ in w.ADJECTIVES} | {a: b for vs in w.VERBS.values() for a, b, *_ in vs},
    }
    which = rng.choice(tuple(tables))
    ask = rng.choice(
        {
            "opposite": ("write the opposite", "give the word that means the contrary"),
            "digit": ("write the number as a digit", "convert the word to a digit"),
            "synonym": ("write another word of the same meaning", "give a synonym"),
        }[which]
    )
    definition = definition_of(rng, rng.choice(("a word", "one word")), ask, (), (), False)
    return _skill("opposite", rng, count, definition, lambda: rng.choice(tuple(tables[which].items())))


def contains(rng: Random, count: int) -> Lesson:
    """Whether a word stands in the input, how many words there are, or which of two options is named."""
    which = rng.choice(("contains", "count", "option"))
    if which == "count":
        definition = definition_of(
            rng, "some words", rng.choice(("count the words", "tell how many words there are")), (), (), False
        )

        def draw() -> tuple[str, str]:
            items = _words(rng, 2, 7)
            return " ".join(items), str(len(items))

        return _skill("count", rng, count, definition, draw)
    if which == "option":
        definition = definition_of(
            rng,
            "some options with letters and a word",
            rng.choice(("write the letter of the word", "give the letter of the option that is asked for")),
            (),
            (),
            False,
        )

        def draw() -> tuple[str, str]:
            items = _words(rng, 2, 4)
            spot = rng.randrange(len(items))
            return " ".join(
                f"({letter}) {x}" for letter, x in zip("ABCD", items, strict=False)
            ) + f" Word: {items[spot]}", "ABCD"[spot]

        return _skill("option", rng, count, definition, draw)
    key = rng.choice(BAG)
    yes, no = rng.choice(YES)
    definition = definition_of(
        rng,
        "some words",
        f"tell whether {key} is among them",
        (yes, no),
        (f"{key} is there", f"{key} is missing"),
        rng.random() < 0.7,
    )

    def draw() -> tuple[str, str]:
        items = [x for x in _words(rng) if x != key]
        there = rng.random() < 0.5
        if there:
            items[rng.randrange(len(items))] = key
        return " ".join(items), yes if there else no

    return _skill("contains", rng, count, definition, draw, (yes, no))


def comparing(rng: Random, count: int) -> Lesson:
    """Whether two short lists are the same, or which of their words was changed."""
    length = rng.choice((1, 1, 2, 3))
    same, different = rng.choice((("same", "different"),) * 4 + (("equal", "unequal"), ("match", "mismatch"), *YES[:4]))
    joint = rng.choice(
        ("{} / {}", "First: {} Second: {}", "Sentence 1: {} Sentence 2: {}", "{} and {}", "Premise: {} Hypothesis: {}")
    )
    find = length > 1 and rng.random() < 0.4
    definition = definition_of(
        rng,
        rng.choice(("two words or lists", "two lists of words", "a pair", "two short texts")),
        rng.choice(("write the word that is new in the second", "name the word that was put in"))
        if find
        else rng.choice(("compare them", "decide whether they are the same", "find out if both are equal")),
        () if find else (same, different),
        ("both are the same", "they are not the same"),
        (not find and rng.random() < 0.5) or same in ("yes", "Yes", "true", "True"),
    )

    def draw() -> tuple[str, str]:
        one = rng.sample(BAG, length)
        two = list(one)
        changed = find or rng.random() < 0.5
        new = rng.choice(BAG)
        if changed:
            two[rng.randrange(length)] = new
        answer = new if find else different if one != two else same
        return joint.format(" ".join(one), " ".join(two)), answer

    return _skill("comparing", rng, count, definition, draw, () if find else (same, different))


SKILLS: tuple[tuple[float, Callable[[Random, int], Lesson]], ...] = (
    (2.5, copying), (1.5, membership), (0.7, opposite), (0.7, contains), (2.5, comparing),
)  # fmt: skip
