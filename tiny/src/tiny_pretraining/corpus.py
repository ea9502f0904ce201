"""The pre-training text of model ``tiny``: pages without end, each of exercises or of plain text.

``row(rng)`` draws what is asked (``tiny_views``, ``tiny_skills``), a domain that suite ``mini`` does not use, the
wording (``tiny_wording``), words for the labels, and a layout. No layout is one of snibench's formats: a base model
knows words and exercises, and tuning is what teaches it the benchmark's way of asking.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from snibench.data.mini import words as w
from snibench.data.mini.grammar import FAMILIES, Draw, article, sentence, spoken
from tiny_pretraining.asks import composed
from tiny_pretraining.intents import MORE_INTENTS
from tiny_pretraining.prose import SETTINGS, asked_for, prose
from tiny_pretraining.skills import BAG, SKILLS
from tiny_pretraining.views import FEATURES, FEELINGS, WRITERS, YES, Feature
from tiny_pretraining.wording import (
    INTRO,
    LIST,
    Lesson,
    Row,
    definition_of,
    listing,
    question_of,
    short_question,
    weathered,
)

YES_OR_NO, LATE_YES_OR_NO = 0.3, 0.6  # share of the closed questions that are about one class alone
NAMED_OR_NOT = 0.35  # share of these that are answered with the word of the class, or with one for all others
FIRST_WORD = (
    0.5  # share of label words that are the class's own first word, so that classes are learned before synonyms
)
DEFAULTS = {"positive", "yes", "entailment"}  # what one asks for unless there is a reason not to
# Where all is balanced, neither question nor text alone tells anything of the answer, and there is nowhere to start.
DEFAULT_ASKED = 0.8  # share of late questions for yes or no that ask for it
DIRECT = 0.6  # share of late questions for yes or no that are put as such, where the description allows it
BORROWED = 0.1  # share of the definitions with labels whose labels are any words
WEATHERED = 0.4  # share of rich definitions with words left out, replaced or put in
PROSE = 0.75  # share of rich definitions that are written as people write
REPLACED = 0.25  # share of the extracted words that give way to any other word

_SERVICES = w.INTENTS | MORE_INTENTS
# The classes that a domain can draw, where these are not all.
_POSSIBLE: dict[tuple[str, str], Mapping[str, Collection[str]]] = {
    ("utterance", "intent"): _SERVICES,
    ("odd", "kind"): w.KIND_DOMAINS,
}
_MOST = {"topic": 5, "aside": 5, "kind": 5}  # classes in one question, where there are many; else 4

# ------------------------------------------------------------------------------- what is asked


@dataclass(frozen=True)
class Asked:
    """The words for the classes of a question; ``truth`` = yes and no to the first class. Empty = written out."""

    label_of: Mapping[str, str]
    labels: tuple[str, ...] = ()
    whats: tuple[str, ...] = ()  # what each label means
    truth: bool = False


def asked(rng: Random, feature: Feature, domain: str, value: str | None = None, late: bool = False) -> Asked:
    """Classes of ``feature``, ``value`` among them, with their words; ``late``: oftener yes or no."""
    if not feature.classes:
        return Asked({})
    possible = _POSSIBLE.get((feature.family, feature.key), {}).get(domain, feature.classes)
    known = [one for one in feature.classes if one in possible]
    most = min(_MOST.get(feature.key, 4), len(known))
    others = [one for one in known if one != value]
    size = rng.randint(2, most) if rng.random() < 0.6 else most
    values = rng.sample(others, size) if value is None else [value, *rng.sample(others, size - 1)]
    if rng.random() < (LATE_YES_OR_NO if late else YES_OR_NO):
        first = known[0]
        if late and first in DEFAULTS and rng.random() < DEFAULT_ASKED:
            values = [first, *(one for one in values if one != first)]
        elif value is not None and rng.random() < 0.5:  # as often no as yes
            values = [values[1], values[0], *values[2:]]
        yes, no = rng.choice(YES[:4]) if rng.random() < 0.8 else rng.choice(YES)
        if rng.random() < NAMED_OR_NOT:
            yes, no = feature.classes[values[0]][0][0], rng.choice(("other", "none", "not", "else", "different"))
            if yes == no or yes in ("yes", "no", "True", "False"):
                yes, no = "yes", "no"
        what = rng.choice(feature.classes[values[0]][1])
        if late and feature.key == "overall" and rng.random() < 0.6:
            what = f"{rng.choice(WRITERS)} is {rng.choice(FEELINGS[values[0]])}"
        return Asked({v: yes if v == values[0] else no for v in values}, (yes, no), (what, "that is not so"), True)
    nth = 0 if rng.random() < FIRST_WORD else rng.randrange(8)
    words = {v: feature.classes[v][0][nth % len(feature.classes[v][0])] for v in values}
    if len(set(words.values())) < len(values):
        words = {v: feature.classes[v][0][0] for v in values}
    return Asked(words, tuple(words.values()), tuple(rng.choice(feature.classes[v][1]) for v in values))


def _domains(feature: Feature, late: bool = False) -> list[str]:
    """The domains outside suite ``mini`` in which ``feature`` can be drawn; ``late``: more of them."""
    domains = [d for d in FAMILIES[feature.family].other_domains if d.startswith("marked") == bool(feature.domains)]
    if feature.family != "utterance":
        return domains
    domains += MORE_INTENTS if late else ()
    if feature.classes:
        return domains
    slot = "{" + feature.key + "}"
    return [d for d in domains if any(slot in p for _, _, patterns in _SERVICES[d].values() for p in patterns)]


def _draw(rng: Random, family: str, domain: str) -> Draw:
    """A draw of ``family``, in one of its own domains or in one that only the training text has."""
    return spoken(rng, MORE_INTENTS[domain]) if domain in MORE_INTENTS else FAMILIES[family].draw(rng, domain)


# ------------------------------------------------------------------------------------ lessons


def feature_lesson(rng: Random, feature: Feature, count: int, rich: bool = False, late: bool = False) -> Lesson:
    """A definition about one feature of a family, with up to ``count`` questions, balanced over the labels."""
    domain = rng.choice(_domains(feature, late))
    inputs, ask = rng.choice(feature.inputs), _ask(rng, feature)
    if rng.random() < 0.3:
        inputs += f" from the field {domain.removeprefix('marked ')}"
    wanted = asked(rng, feature, domain, late=late)
    told = wanted.truth
    if wanted.labels and not told and rng.random() < BORROWED:
        told, wanted = True, _borrowed(rng, wanted)
    direct = question_of(wanted.whats[0]) if late and wanted.truth else ""
    if direct and rng.random() < DIRECT:
        before = rng.choice((*SETTINGS[feature.family], rng.choice(INTRO).format(inputs), ""))
        definition = f"{before} {direct} {rng.choice(LIST).format(listing(rng, wanted.labels))}".strip()
    elif rich and rng.random() < PROSE:
        definition = prose(rng, feature.family, feature.key, inputs, wanted.labels, wanted.whats, told)
    elif wanted.truth and rng.random() < 0.5 and wanted.labels in YES[:4]:
        truth = rng.choice(("Is it true that {}?", "Tell whether {}.", "Decide if {}.", "Is it so that {}?"))
        choice = rng.choice(LIST).format(listing(rng, wanted.labels))
        definition = f"{rng.choice(INTRO).format(inputs)} {truth.format(wanted.whats[0])} {choice}"
    else:
        definition = definition_of(rng, inputs, ask, wanted.labels, wanted.whats, told)
    if rich and rng.random() < WEATHERED:
        definition = weathered(rng, definition, (*wanted.labels, *(wanted.whats if told else ())))
    questions: dict[str, str] = {}
    order = list(wanted.labels) * count
    rng.shuffle(order)
    for _ in range(count * 40):
        meaning, text = _drawn(rng, feature, domain)
        value = meaning.get(feature.key)
        if value is None:
            continue
        answer = wanted.label_of.get(value, "") if feature.classes else value
        if feature.classes and answer != order[len(questions)]:
            continue
        if not feature.classes and not _fixed(feature) and rng.random() < REPLACED:
            text, answer = _with_another_word(rng, text, answer)
        questions.setdefault(text, answer)
        if len(questions) == count:
            break
    view = f"{feature.family}/{feature.key}"
    return Lesson(view, definition, tuple(sorted(set(wanted.labels))), tuple(questions.items()))


def _borrowed(rng: Random, wanted: Asked) -> Asked:
    """The same classes under any words, so that what each label means must be read."""
    words = rng.sample(BAG, len(wanted.labels))
    new = dict(zip(wanted.labels, words, strict=True))
    return Asked({value: new[word] for value, word in wanted.label_of.items()}, tuple(words), wanted.whats)


def _ask(rng: Random, feature: Feature) -> str:
    if rng.random() < 0.6:
        return rng.choice(feature.asks)
    return composed(rng, feature.family, feature.key, bool(feature.classes))


def _drawn(rng: Random, feature: Feature, domain: str) -> tuple[Mapping[str, str], str]:
    found = _draw(rng, feature.family, domain)
    return found.meaning, feature.frame.format(text=found.text, **found.meaning)


def _fixed(feature: Feature) -> bool:
    """Whether it counts which word an answer is, not only where it stands."""
    return feature.family in ("use", "odd") or feature.key == "said"


def _with_another_word(rng: Random, text: str, answer: str) -> tuple[str, str]:
    """Any word where the one to be extracted stands: its place counts, not that it is the name of a city."""
    if not answer.isalpha() or answer not in text:
        return text, answer
    word = rng.choice(BAG)
    return re.sub(rf"\b{answer}\b", word, text), word


def _weight(feature: Feature, late: bool) -> float:
    return feature.weight * feature.late if late else feature.weight


_CUMULATIVE = {
    late: tuple(accumulate([*(_weight(f, late) for f in FEATURES), *(weight for weight, _ in SKILLS)]))
    for late in (False, True)
}


def lesson(rng: Random, count: int, rich: bool = False, late: bool = False) -> Lesson:
    """A lesson with at most ``count`` questions, twice as many for a skill; at least one."""
    spot = rng.choices(range(len(FEATURES) + len(SKILLS)), cum_weights=_CUMULATIVE[late])[0]
    if spot < len(FEATURES):
        return feature_lesson(rng, FEATURES[spot], count, rich, late)
    return SKILLS[spot - len(FEATURES)][1](rng, 2 * count)  # their inputs are short


# -------------------------------------------------------------------------------------- pages

# A text with many questions: what comes before them, then one question. Few layouts, as a base model has its habits.
_PAGES = (("{t}\n\n", "{q} ->"), ("Teacher: {t}\n", "Teacher: {q}\nPupil:"), ("| {t} |\n\n", "| {q} |"))
# A task with several texts.
_SHEETS = (("{D}\n\n", "{x} ->"), ("Teacher: {D}\n", "Teacher: {x}\nPupil:"), ("{D}\n\n", "| {x} |"))
READING, PAGE, SOLVED = 0.10, 0.40, 0.15  # shares of plain text, of pages and of solved lists; the rest are sheets


def page(rng: Random, count: int = 8, rich: bool = False, late: bool = False) -> Row:
    """One text and up to ``count`` questions about it, of all features that can be asked of it."""
    first = rng.choices(FEATURES, weights=[_weight(f, late) for f in FEATURES])[0]
    domain = rng.choice(_domains(first, late))
    if first.family == "story" and rng.random() < 0.6:
        return story_page(rng, domain, count)
    others = [
        f
        for f in FEATURES
        if f.family == first.family
        and f.domains == first.domains
        and (f.frame == first.frame or (f.frame == "{text}" and "{text}" in first.frame))
    ]
    while first.key not in (draw := _draw(rng, first.family, domain)).meaning:
        pass
    able = [f for f in others if f.key in draw.meaning]
    questions: dict[str, str] = {}
    written: set[str] = set()
    for feature in rng.choices(able, weights=[_weight(f, late) for f in able], k=count):
        value = draw.meaning[feature.key]
        if feature.key in written or (feature.classes and value not in feature.classes):
            continue
        if not feature.classes:
            written.add(feature.key)
        wanted = asked(rng, feature, domain, value if feature.classes else None, late)
        ask = _ask(rng, feature)
        if rich and rng.random() < PROSE and not wanted.truth:
            ask = asked_for(rng, feature.family, feature.key, bool(feature.classes))
        question = short_question(rng, ask, wanted.labels, wanted.whats, wanted.truth)
        if late and wanted.truth and rng.random() < DIRECT and (direct := question_of(wanted.whats[0])):
            question = f"{direct} {rng.choice(LIST).format(listing(rng, wanted.labels))}"
        questions.setdefault(question, wanted.label_of[value] if feature.classes else value)
    if not questions:
        return page(rng, count, rich, late)
    prefix, branch = rng.choice(_PAGES)
    return _page(first.family, prefix, branch, first.frame.format(text=draw.text, **draw.meaning), questions)


def story_page(rng: Random, domain: str, count: int) -> Row:
    """Two events and up to ``count`` questions about them, answered with a word or, if so asked, with a sentence."""
    draw = FAMILIES["story"].draw(rng, domain)
    prefix, branch = rng.choice(_PAGES)
    asks = {f.key: f.asks for f in FEATURES if f.family == "story"}
    questions: dict[str, str] = {}
    for event, kind in rng.sample([(e, k) for e in (1, 2) for k in ("who", "where", "when", "what")], k=min(8, count)):
        question = draw.meaning[f"question {kind} {event}"]
        wanted = "answer" if rng.random() < 0.7 else "full"
        bare = wanted == "answer" and rng.random() < 0.4
        ask = "" if bare else sentence(rng.choice(asks[wanted])) + "."
        shape = rng.choice(("{a} {q}", "{q} {a}", "{q} {a}"))
        questions.setdefault(shape.format(a=ask, q=question).strip(), draw.meaning[f"{wanted} {kind} {event}"])
    return _page("story", prefix, branch, draw.text, questions)


def _page(family: str, prefix: str, branch: str, text: str, questions: Mapping[str, str]) -> Row:
    branches = tuple(((branch.format(q=q), False), (" " + a, True)) for q, a in questions.items())
    return Row(f"page/{family}", prefix.format(t=text), branches)


def sheet(rng: Random, rich: bool = False, late: bool = False) -> Row:
    """One definition, then texts that see it and themselves alone."""
    given = lesson(rng, rng.randint(4, 7), rich, late)
    prefix, branch = rng.choice(_SHEETS)
    return Row(
        given.view,
        prefix.format(D=given.definition),
        tuple(((branch.format(x=x), False), (" " + y, True)) for x, y in given.questions),
    )


def solved(rng: Random, rich: bool = False, late: bool = False) -> Row:
    """Solved examples one after another, mostly under their definition."""
    given = lesson(rng, 4, rich, late)
    prefix, branch = rng.choice(_SHEETS)
    bare = given.labels != () and rng.random() < 0.2
    parts: list[tuple[str, bool]] = []
    for i, (x, y) in enumerate(given.questions):
        parts += [(("\n" if i else "") + branch.format(x=x), False), (" " + y, True)]
    return Row(given.view, "" if bare else prefix.format(D=given.definition), (tuple(parts),))


def reading(rng: Random) -> Row:
    """Plain text to be read on, without any task: sentences of all domains, facts, and reasons."""
    kind = rng.random()
    if kind < 0.4:
        domain = rng.choice(tuple(w.OBJECTS))
        return _read(*(_facts(rng, domain, thing) for thing in rng.sample(tuple(w.OBJECTS[domain]), 3)))
    if kind < 0.5:
        reasons = rng.sample([pair for pairs in w.CAUSES.values() for pair in pairs], 3)
        told = ("{C}, so {e}.", "{E} because {c}.", "Since {c}, {e}.", "{C}. Therefore {e}.")
        return _read(*(rng.choice(told).format(c=c, e=e, C=sentence(c), E=sentence(e)) for c, e in reasons))
    name = rng.choice(tuple(FAMILIES))
    domain = rng.choice((*FAMILIES[name].suite_domains, *FAMILIES[name].other_domains))
    draws = [draw for draw in (FAMILIES[name].draw(rng, domain) for _ in range(6)) if _true(draw)][:3]
    return _read(*(draw.meaning.get("right", draw.text) for draw in draws or [FAMILIES[name].draw(rng, domain)]))


def _true(draw: Draw) -> bool:
    """Whether ``draw`` tells something that is so: plain text holds no nonsense."""
    return draw.meaning.get("sensible", "yes") == "yes" and draw.meaning.get("related", "yes") == "yes"


def _facts(rng: Random, domain: str, thing: str) -> str:
    purpose, place, material, weight = w.OBJECTS[domain][thing]
    facts = [
        f"People use it to {purpose}.",
        f"It is made of {material}.",
        f"It belongs to the {domain}, near the {place}.",
    ]
    rng.shuffle(facts)
    return rng.choice(
        (
            " ".join((f"The {thing} is {weight}.", *facts)),
            f"To {purpose}, you need {article(thing)}. It is {weight} and made of {material}.",
            f"What is {article(thing)} for? It is there to {purpose}.",
            f"Who wants to {purpose} looks for {article(thing)} near the {place}.",
        )
    )


def _read(*texts: str) -> Row:
    return Row("reading", "", tuple((("", False), (text, True)) for text in texts))


def row(rng: Random, rich: bool = False, late: bool = False) -> Row:
    """A page, a sheet, a solved list or plain text, drawn.

    ``rich``: most definitions as people write them; ``late``: more questions for yes or no, asked as people ask.
    """
    kind = rng.random()
    if kind < READING:
        return reading(rng)
    if kind < READING + PAGE:
        return page(rng, rich=rich, late=late)
    return solved(rng, rich, late) if kind < READING + PAGE + SOLVED else sheet(rng, rich, late)
