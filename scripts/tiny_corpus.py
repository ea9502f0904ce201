# ruff: noqa: E501, SIM905 (tables of wordings and word lists)
"""The pre-training text of model ``tiny``: instruction views, drawn without end.

A *lesson* is one definition with several questions. ``lesson(rng)`` draws a feature (``tiny_views``) or a skill
(copying, looking up, counting), a domain that suite ``mini`` does not use, a wording, and words for the labels.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from tiny_views import FEATURES, YES, Feature

from snibench.data.mini import words as w
from snibench.data.mini.grammar import FAMILIES, article, sentence


@dataclass(frozen=True)
class Lesson:
    """One definition and its questions, before they are put into a format.

    ``stated``: the labels are told by the definition or fixed by custom, so formats without either are fair.
    """

    view: str
    category: str
    definition: str
    labels: tuple[str, ...]
    questions: tuple[tuple[str, str], ...]
    customary: bool


@dataclass(frozen=True)
class Row:
    """A lesson as text: a prefix, then branches that see the prefix and themselves alone.

    A branch is a list of (text, is answer). ``view`` says what it was drawn from.
    """

    view: str
    prefix: str
    branches: tuple[tuple[tuple[str, bool], ...], ...]


# ------------------------------------------------------------------------------ definitions

_INTRO = (
    "In this task you are given {}.", "You will be given {}.", "The input is {}.", "Read {}.", "You get {}.",
    "You see {}.", "Here is {}.", "Below you find {}.", "Consider {}.", "Given is {}.", "We show you {}.", "Look at {}.",
)  # fmt: skip
_ASK = (
    "Your task is to {}.", "Please {}.", "You need to {}.", "The goal is to {}.", "You should {}.", "Try to {}.",
    "You have to {}.", "Your job is to {}.", "You are asked to {}.", "It is your duty to {}.",
)  # fmt: skip
_LIST = (
    "Answer with {}.", "The answer is {}.", "Possible answers are {}.", "Output one of {}.", "Choose between {}.",
    "Reply with {}.", "Use the labels {}.", "Generate {}.", "The labels are {}.", "Only {} are allowed.", "Say {}.",
)  # fmt: skip
_CLAUSE = (
    "Output {label} if {what}.", "If {what}, answer {label}.", "Say {label} when {what}.", "Write {label} if {what}.",
    "{label} means that {what}.", "When {what}, the answer is {label}.", "Use {label} if {what}.",
)  # fmt: skip
_REST = ("Otherwise answer {}.", "Else output {}.", "In all other cases say {}.", "If not, write {}.")
_BARE = ("Write only the answer.", "Do not explain it.", "Keep it short.", "Nothing else is needed.", "", "", "", "")

_ARBITRARY = tuple(
    dict.fromkeys(
        [*w.PRAISE, *w.BLAME, *w.COLOURS, *w.JOBS, *w.SMALL, *w.DAYS, *(x for k in w.KINDS.values() for x in k)]
    )
)
_LETTERS = tuple("ABCDEFGHXYZ")


def _listing(rng: Random, labels: Sequence[str]) -> str:
    *head, last = labels
    return rng.choice((", ", ", ", " / ")).join(head) + rng.choice((" or ", " or ", " and ")) + last


def _definition(rng: Random, inputs: str, ask: str, labels: Sequence[str], whats: Sequence[str], clauses: bool) -> str:
    """A definition; ``clauses`` = what each label means must be told, else it is told sometimes."""
    quote = '"{}"' if rng.random() < 0.2 else "{}"
    named = [quote.format(label) for label in labels]
    parts = [rng.choice(_INTRO).format(inputs)] if rng.random() < 0.85 else []
    parts.append(rng.choice(_ASK).format(ask) if rng.random() < 0.8 else sentence(ask) + ".")
    if labels and (clauses or rng.random() < 0.45):
        shape = rng.choice(_CLAUSE)
        order = list(zip(named, whats, strict=True))
        rng.shuffle(order)
        if len(order) == 2 and rng.random() < 0.4:
            told = [shape.format(label=order[0][0], what=order[0][1]), rng.choice(_REST).format(order[1][0])]
        else:
            told = [shape.format(label=label, what=what) for label, what in order]
        if rng.random() < 0.3:
            told.append(rng.choice(_LIST).format(_listing(rng, named)))
        parts.extend(sentence(t) if quote == '"{}"' else t for t in told)
    elif labels:
        shuffled = list(named)
        rng.shuffle(shuffled)
        parts.append(rng.choice(_LIST).format(_listing(rng, shuffled)))
    else:
        parts.append(rng.choice(_BARE))
    if rng.random() < 0.35:
        parts.insert(rng.randint(0, len(parts)), _padding(rng))
    return " ".join(p for p in parts if p)


# Real definitions hold words that were never trained on; these teach to read past them.
_ASIDE = (
    "The text comes from the {} {}.",
    "Note that {} may be {}.",
    "It is known as {}.",
    "Think of a {} {}.",
    "Mind the {}.",
    "Every {} counts.",
)
_SYLLABLES = tuple("ba con de er fi gra in ka lo mi nu or pre qui ra st ta ing un ver wo ex ly ment tion al".split())


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


def _padding(rng: Random) -> str:
    """A sentence that says nothing: pseudo-words in a frame, or common words in a row."""
    if rng.random() < 0.4:
        return rng.choice(_ASIDE).format(_pseudoword(rng), _pseudoword(rng))
    return sentence(" ".join(rng.sample(_COMMON, rng.randint(3, 9)))) + "."


def _pseudoword(rng: Random) -> str:
    return "".join(rng.choices(_SYLLABLES, k=rng.randint(1, 3)))


# ---------------------------------------------------------------------------------- lessons


NATURAL, YES_OR_NO = 0.67, 0.25  # shares of label words: natural ones, yes and no; the rest mean nothing here

# The classes that a domain can draw, where these are not all.
_POSSIBLE: dict[tuple[str, str], Mapping[str, Collection[str]]] = {
    ("utterance", "intent"): w.INTENTS,
    ("odd", "kind"): w.KIND_DOMAINS,
}


REPLACED = 0.5  # share of the extracted words that give way to any other word


def _with_another_word(rng: Random, question: str, answer: str) -> tuple[str, str]:
    """Any word where the one to be extracted stands: what counts is its place, not that it is the name of a city."""
    if not answer.isalpha() or answer not in question:
        return question, answer
    word = rng.choice(_BAG)
    return re.sub(rf"\b{answer}\b", word, question), word


def feature_lesson(rng: Random, feature: Feature, count: int) -> Lesson:
    """A lesson on one feature of a family, in a domain that suite ``mini`` does not use."""
    family = FAMILIES[feature.family]
    domains = [d for d in family.other_domains if d.startswith("marked") == bool(feature.domains)]
    domain = rng.choice(domains)
    if feature.key in ("city", "day", "person", "number", "colour", "room", "amount") and feature.family == "utterance":
        domain = rng.choice(
            [d for d in domains if any("{" + feature.key + "}" in p for _, _, ps in w.INTENTS[d].values() for p in ps)]
        )
    inputs, ask = rng.choice(feature.inputs), rng.choice(feature.asks)
    if rng.random() < 0.3:
        inputs += f" from the field {domain.removeprefix('marked ')}"
    label_of: dict[str, str] = {}
    whats: list[str] = []
    customary = not feature.classes
    clauses = False
    if feature.classes:
        possible = _POSSIBLE.get((feature.family, feature.key), {}).get(domain, feature.classes)
        values = [value for value in feature.classes if value in possible]
        most = {"topic": 5, "aside": 5, "kind": 5}.get(feature.key, 4)
        values = rng.sample(
            values, rng.randint(2, min(most, len(values))) if rng.random() < 0.6 else min(most, len(values))
        )
        mode = rng.random()
        if mode < NATURAL:
            # A class's own first word mostly: what sets the classes apart is learned before the words for them.
            nth = 0 if rng.random() < 0.65 else rng.randrange(8)
            label_of = {value: feature.classes[value][0][nth % len(feature.classes[value][0])] for value in values}
            if len(set(label_of.values())) < len(values):
                label_of = {value: feature.classes[value][0][0] for value in values}
            customary = all(label_of[v] == feature.classes[v][0][0] for v in values)
        elif mode < NATURAL + YES_OR_NO:
            yes, no = rng.choice(YES[:4]) if rng.random() < 0.8 else rng.choice(YES)
            if rng.random() < 0.12:
                yes, no = no, yes
            label_of = {v: yes if v == values[0] else no for v in values}
            what = rng.choice(feature.classes[values[0]][1])
            definition = _definition(rng, inputs, ask, (yes, no), (what, "that is not so"), True)
            if rng.random() < 0.5 and yes in ("yes", "Yes", "true", "True", "1", "right"):
                definition = " ".join(
                    (
                        rng.choice(_INTRO).format(inputs),
                        rng.choice(
                            ("Is it true that {}?", "Tell whether {}.", "Decide if {}.", "Is it so that {}?")
                        ).format(what),
                        rng.choice(_LIST).format(_listing(rng, (yes, no))),
                    )
                )
        else:  # words that mean nothing here
            clauses = True
            pool = rng.choice((_ARBITRARY, _ARBITRARY, _LETTERS, w.SMALL))
            label_of = dict(zip(values, rng.sample(pool, len(values)), strict=True))
        whats = [rng.choice(feature.classes[v][1]) for v in values]
    labels = tuple(dict.fromkeys(label_of.values()))
    if not (feature.classes and NATURAL <= mode < NATURAL + YES_OR_NO):
        definition = _definition(rng, inputs, ask, labels, whats, clauses)
    questions: dict[str, str] = {}
    wanted = list(labels) * count  # balanced, in random order
    rng.shuffle(wanted)
    for _ in range(count * 40):
        draw = family.draw(rng, domain)
        if feature.key not in draw.meaning:
            continue
        value = draw.meaning[feature.key]
        if feature.classes:
            if value not in label_of or label_of[value] != wanted[len(questions)]:
                continue
            answer = label_of[value]
        else:
            answer = value
        question = feature.frame.format(text=draw.text, **draw.meaning)
        if not feature.classes and feature.family not in ("use", "odd") and rng.random() < REPLACED:
            question, answer = _with_another_word(rng, question, answer)
        questions.setdefault(question, answer)
        if len(questions) == count:
            break
    return Lesson(
        f"{feature.family}/{feature.key}",
        feature.category,
        definition,
        tuple(sorted(labels)),
        tuple(questions.items()),
        customary,
    )


_BAG = tuple(dict.fromkeys([
    *w.NAMES, *w.CITIES, *w.COMPANIES, *w.DAYS, *w.MONTHS, *w.COLOURS, *w.SMALL, *w.PRAISE, *w.BLAME, *w.DISHES, *w.ROOMS, *w.JOBS,
    *(x for things in w.THINGS.values() for x in things), *(x for k in w.KINDS.values() for x in k),
    *(x for d in w.OBJECTS.values() for x in d), *(agent for _, agents, _ in w.TOPICS.values() for agent in agents),
    *(x for items, places in w.SCENES.values() for x in (*items, *places)), *(v for vs in w.VERBS.values() for four in vs for v in four),
    *(n for gs in w.GOODS.values() for pair in gs for n in pair), *(x for triple in w.ADJECTIVES for x in triple),
    *(x for pair in w.OPPOSITES for x in pair),
    *(x for d in w.INTENTS.values() for labels, _, _ in d.values() for x in labels), *(x for labels, _, _ in w.TOPICS.values() for x in labels),
]))  # fmt: skip


def _skill(
    name: str,
    rng: Random,
    count: int,
    definition: str,
    draw: Callable[[], tuple[str, str]],
    labels: Sequence[str] = (),
    category: str = "Program Execution",
) -> Lesson:
    questions: dict[str, str] = {}
    for _ in range(count * 4):
        if len(questions) < count:
            questions.setdefault(*draw())
    return Lesson(f"skill/{name}", category, definition, tuple(sorted(labels)), tuple(questions.items()), False)


def _words(rng: Random, low: int = 3, high: int = 7) -> list[str]:
    return rng.sample(_BAG, rng.randint(low, high))


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
    key = rng.choice(_BAG)
    ask = rng.choice(asks).format(key=key)
    definition = _definition(
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


def lookup(rng: Random, count: int) -> Lesson:
    """A code book in the definition, keys in the inputs: binding in its pure form."""
    pairs = rng.choice((2, 2, 2, 3, 4))
    drawn = rng.sample(_BAG, 2 * pairs)
    keys, values = drawn[:pairs], drawn[pairs:]
    shape = rng.choice(
        (
            "{} means {}.",
            "Answer {1} if the input is {0}.",
            "{} -> {};",
            "For {} write {}.",
            "{} = {},",
            "If it says {}, output {}.",
            "{} becomes {}.",
        )
    )
    book = " ".join(shape.format(k, v) for k, v in zip(keys, values, strict=True))
    definition = " ".join(
        (
            rng.choice(
                (
                    "Use this code book.",
                    "Translate the word.",
                    "Look the word up.",
                    "Replace the input by its code.",
                    "Here are some rules.",
                )
            ),
            book,
        )
    )
    table = dict(zip(keys, values, strict=True))
    frame = rng.choice(("{}", "{}", "the word {}", "{} {}"))

    def draw() -> tuple[str, str]:
        some = [rng.choice(keys) for _ in range(frame.count("{}"))]
        return frame.format(*some), " ".join(table[k] for k in some)

    return _skill("lookup", rng, count, definition, draw, category="Misc.")


def membership(rng: Random, count: int) -> Lesson:
    """Kinds of words: which kind, or yes and no."""
    kinds = rng.sample(tuple(w.KINDS), rng.randint(2, 5))
    kind = kinds[0]
    if rng.random() < 0.5:
        yes, no = rng.choice(YES)
        if rng.random() < 0.3:
            yes, no = no, yes
        definition = _definition(
            rng,
            "a word",
            rng.choice((f"decide whether it is {article(kind)}", f"check if the word is a kind of {kind}")),
            (yes, no),
            (f"it is {article(kind)}", "it is something else"),
            True,
        )
        label = {k: yes if k == kind else no for k in kinds}
    else:
        label = (
            {k: k for k in kinds}
            if rng.random() < 0.6
            else dict(zip(kinds, rng.sample(_ARBITRARY, len(kinds)), strict=True))
        )
        definition = _definition(
            rng,
            "a word",
            rng.choice(("tell its kind", "classify the word", "sort the word")),
            tuple(label.values()),
            [f"it is {article(k)}" for k in kinds],
            label[kind] != kind,
        )

    def draw() -> tuple[str, str]:
        k = kind if rng.random() < 1 / len(kinds) else rng.choice(kinds)
        return rng.choice([x for x in w.KINDS[k] if sum(x in w.KINDS[o] for o in kinds) == 1]), label[k]

    return _skill("membership", rng, count, definition, draw, set(label.values()), "Word Semantics")


def opposite(rng: Random, count: int) -> Lesson:
    """Opposites, synonyms, digits for number words."""
    tables = {
        "opposite": dict([*((a, b) for a, b in w.OPPOSITES), *((b, a) for a, b in w.OPPOSITES)]),
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
    definition = _definition(rng, rng.choice(("a word", "one word")), ask, (), (), False)
    return _skill(
        "opposite", rng, count, definition, lambda: rng.choice(tuple(tables[which].items())), category="Word Analogy"
    )


def contains(rng: Random, count: int) -> Lesson:
    """Whether a word stands in the input, how many words there are, or which of two options is named."""
    which = rng.choice(("contains", "count", "option"))
    if which == "count":
        definition = _definition(
            rng, "some words", rng.choice(("count the words", "tell how many words there are")), (), (), False
        )

        def draw() -> tuple[str, str]:
            items = _words(rng, 2, 7)
            return " ".join(items), str(len(items))

        return _skill("count", rng, count, definition, draw)
    if which == "option":
        definition = _definition(
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
    key = rng.choice(_BAG)
    yes, no = rng.choice(YES)
    definition = _definition(
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
    definition = _definition(
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
        one = rng.sample(_BAG, length)
        two = list(one)
        changed = find or rng.random() < 0.5
        new = rng.choice(_BAG)
        if changed:
            two[rng.randrange(length)] = new
        answer = new if find else different if one != two else same
        return joint.format(" ".join(one), " ".join(two)), answer

    return _skill("comparing", rng, count, definition, draw, () if find else (same, different), "Text Matching")


SKILLS: tuple[tuple[float, Callable[[Random, int], Lesson]], ...] = (
    (7.0, copying), (4.0, lookup), (2.5, membership), (0.7, opposite), (1.5, contains), (4.0, comparing),
)  # fmt: skip
_CUMULATIVE = tuple(accumulate([*(f.weight for f in FEATURES), *(weight for weight, _ in SKILLS)]))


def lesson(rng: Random, count: int) -> Lesson:
    """A lesson with at most ``count`` questions, twice as many for a skill; at least one."""
    spot = rng.choices(range(len(_CUMULATIVE)), cum_weights=_CUMULATIVE)[0]
    if spot < len(FEATURES):
        return feature_lesson(rng, FEATURES[spot], count)
    return SKILLS[spot - len(FEATURES)][1](rng, 2 * count)  # their inputs are short


# ---------------------------------------------------------------------------------- formats

_SHARED = {  # prefix, then a branch up to the answer
    "definition": ("Definition: {D}\n\n", "Input: {x}\nOutput:"),
    "declarative": ("{D}\n\n", "The input is: {x}\nThe output is:"),
    "template": ("### Task type: {C}\n### Instruction: {D}\n{allowed}", "### Input:\n{x}\n### Output:"),
    "role": ("You are an expert annotator for {c}.\n{D}\n\n", "Input: {x}\nOutput:"),
    "chat": ("System: {D}\n", "User: {x}\nAssistant:"),
    "imperative": ("{D}\n\n", "{x}\n\nAnswer:"),
    "keyword": ("{C} / {labels}\n", "{x}\n=>"),
    "abstract": ('A problem of the type "{C}" is considered.\n\n', "{x}\n\nResult:"),
    "question": ("", "{x}\n\n{D}\nWhat is the correct output{among}?\nAnswer:"),
    "plain": ("{D}\n\n", "{x}\nAnswer:"),
    "facts": ("Task: {D}\n", "Text: {x}\nLabel:"),
}
_FORMATS = ("definition",) * 24 + ("declarative",) * 4 + ("template",) * 3 + ("role",) * 2 + ("chat",) * 2 + ("imperative",) * 3 + ("keyword", "keyword", "abstract", "question", "question", "plain", "facts")  # fmt: skip
READING = 0.05  # share of rows without a task
FEW_SHOT = 0.25  # share of rows whose questions follow one another as solved examples


def reading(rng: Random) -> Row:
    """Plain text to be read on, without any task: sentences of all domains, and facts about objects."""
    if rng.random() < 0.4:
        domain = rng.choice(tuple(w.OBJECTS))
        thing = rng.choice(tuple(w.OBJECTS[domain]))
        purpose, place, material, weight = w.OBJECTS[domain][thing]
        facts = [
            f"People use it to {purpose}.",
            f"It is made of {material}.",
            f"It belongs to the {domain}, near the {place}.",
        ]
        rng.shuffle(facts)
        return Row("reading", "", ((("", False), (" ".join((f"The {thing} is {weight}.", *facts)), True)),))
    family = FAMILIES[rng.choice(tuple(FAMILIES))]
    texts = [family.draw(rng, rng.choice((*family.suite_domains, *family.other_domains))).text for _ in range(3)]
    return Row("reading", "", tuple((("", False), (text, True)) for text in texts))


def row(rng: Random) -> Row:
    """One lesson in one format, or a page to read, drawn."""
    if rng.random() < READING:
        return reading(rng)
    few = rng.random() < FEW_SHOT
    given = lesson(rng, 4 if few else rng.randint(3, 6))
    if few:
        bare = given.labels != () and rng.random() < 0.2
        prefix = "" if bare else f"Definition: {given.definition}\n\n"
        parts: list[tuple[str, bool]] = []
        for i, (x, y) in enumerate(given.questions):
            parts += [(("\n\n" if i else "") + f"Input: {x}\nOutput:", False), (" " + y, True)]
        return Row(given.view, prefix, (tuple(parts),))
    name = rng.choice(_FORMATS)
    if name in ("keyword", "abstract") and not (given.customary and given.labels):
        name = "definition"
    quoted = ", ".join(f'"{x}"' for x in given.labels)
    fields = {
        "D": given.definition,
        "C": given.category,
        "c": given.category.lower(),
        "labels": quoted,
        "allowed": f"### Allowed outputs: {quoted}\n" if quoted else "",
        "among": f" among {quoted}" if quoted else "",
    }
    prefix, branch = _SHARED[name]
    questions = given.questions[:2] if name == "question" else given.questions
    return Row(
        given.view,
        prefix.format(**fields),
        tuple(((branch.format(x=x, **fields), False), (" " + y, True)) for x, y in questions),
    )
