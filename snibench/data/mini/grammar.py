"""The families: each draws a text together with everything that can be asked about it.

A family is a function ``(rng, domain) -> Draw``. A task is a view of a family: a domain, a definition, a part of
the meaning, and words for it. Suite ``mini`` fixes some views; the pre-training text of model ``tiny`` draws
others from the same families in other domains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from snibench.data.mini import words as w

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Draw:
    """A text and its meaning: answers by what is asked, further pieces of input among them."""

    text: str
    meaning: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Family:
    """``suite_domains`` serve suite ``mini`` alone; the pre-training of model ``tiny`` may use ``other_domains``."""

    draw: Callable[[Random, str], Draw]
    suite_domains: tuple[str, ...]
    other_domains: tuple[str, ...]


def _other(rng: Random, options: Sequence[T], *taken: T) -> T:
    while (choice := rng.choice(options)) in taken:
        pass
    return choice


def article(noun: str) -> str:
    """``noun`` behind its indefinite article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def sentence(text: str) -> str:
    """``text`` with a capital first letter."""
    return text[:1].upper() + text[1:]


# ------------------------------------------------------------------------------ the families


def review(rng: Random, domain: str) -> Draw:
    """A customer's review: two things judged, then a verdict that need not follow from them."""
    first, second = rng.sample(w.THINGS[domain], 2)
    overall = rng.choice(("positive", "negative", "neutral"))
    liked, disliked = (first, second) if rng.random() < 0.5 else (second, first)
    (one, word), (two, other_word) = (_judgement(rng, thing, thing == liked) for thing in (first, second))
    verdict = rng.choice(w.VERDICTS[overall])
    joint = rng.choice((", but ", ". On the other hand, ", ", while ", ". However, "))
    text = (
        f"{sentence(one)}{joint}{two}. {verdict}" if rng.random() < 0.7 else f"{verdict} {sentence(one)}{joint}{two}."
    )
    aspect = rng.choice((first, second))
    return Draw(
        text,
        {
            "overall": overall,
            "liked": liked,
            "disliked": disliked,
            "aspect": aspect,
            "opinion": "positive" if aspect == liked else "negative",
            "said": word if aspect == first else other_word,
        },
    )


def _judgement(rng: Random, thing: str, good: bool) -> tuple[str, str]:
    """A clause on ``thing``, and the word in it that judges."""
    draw = rng.random()
    if draw < 0.45:
        degree, word = rng.choice(w.DEGREES), rng.choice(w.PRAISE if good else w.BLAME)
        return f"the {thing} was {degree} {word}", word
    if draw < 0.6:
        word = rng.choice(w.BLAME if good else w.PRAISE)
        return f"the {thing} was not {word}", f"not {word}"
    if draw < 0.8:
        word = rng.choice(w.LIKE if good else w.DISLIKE)
        return f"I {word} the {thing}", word
    word = rng.choice(w.PRAISE if good else w.BLAME)
    return f"they have {article(word)} {thing}", word


def utterance(rng: Random, domain: str) -> Draw:
    """Request to an assistant: an intent, and the values of its slots."""
    return spoken(rng, w.INTENTS[domain])


def spoken(rng: Random, intents: w.Intents) -> Draw:
    """An utterance of one of ``intents``."""
    intent = rng.choice(tuple(intents))
    pattern = rng.choice(intents[intent][2])
    values = {
        "city": rng.choice(w.CITIES),
        "day": rng.choice(w.DAYS),
        "person": rng.choice(w.NAMES),
        "number": rng.choice(w.SMALL),
        "amount": str(rng.randrange(10, 100)),
        "colour": rng.choice(w.COLOURS),
        "dish": rng.choice(w.DISHES),
        "room": rng.choice(w.ROOMS),
    }
    opening = rng.choice(("", "", "Hi, ", "Well, ", "Excuse me, ", "Listen, ", "Hello there, "))
    closing = rng.choice(("", "", " Thanks.", " That is all.", " It is urgent.", " No hurry."))
    text = opening + pattern.format(**values)
    mark = "?" if pattern.split()[0] in w.ASKING else "."
    slots = {name: value for name, value in values.items() if "{" + name + "}" in pattern}
    return Draw(sentence(text) + mark + closing, {"intent": intent, **slots})


def news(rng: Random, style: str) -> Draw:
    """A note on one topic with a passing remark on another."""
    topic, aside = rng.sample(tuple(w.TOPICS), 2)
    agent, deed = rng.choice(w.TOPICS[topic][1]), rng.choice(w.TOPICS[topic][2])
    more = _other(rng, w.TOPICS[topic][2], deed)
    remark = f"{article(rng.choice(w.TOPICS[aside][1]))} {rng.choice(w.TOPICS[aside][2])}"
    city, day = rng.choice(w.CITIES), rng.choice(w.DAYS)
    text = {
        "headline": f"{city}: {agent} {deed} and {more}; elsewhere {remark}.",
        "diary": f"Dear diary, on {day} {article(agent)} {deed} and {more}. Meanwhile {remark}.",
        "radio": f"This is {city} radio. While {remark}, the {agent} {deed} and then {more}.",
        "letter": f"My dear friend, in {city} the {agent} {deed}. Later it {more}. By the way, {remark}.",
        "report": f"The {agent} in {city} {deed} on {day}. It also {more}. In other news, {remark}.",
        "post": f"Look at this: {article(agent)} {deed} and {more} on {day}! And {remark}.",
        "summary": f"After {remark}, the main story was that the {agent} {deed} and {more}.",
        "note": f"Note of {day}: {agent} {deed}, {more}. Aside: {remark}.",
    }[style]
    return Draw(sentence(text), {"topic": topic, "aside": aside, "city": city, "day": day})


def use(rng: Random, domain: str) -> Draw:
    """A statement about an everyday object, sensible or not, and two objects to choose from."""
    objects = w.OBJECTS[domain]
    thing, rival = rng.sample(tuple(objects), 2)
    purpose, place, material, weight = objects[thing]
    while objects[rival][0] == purpose:
        rival = _other(rng, tuple(objects), thing)
    sensible = rng.random() < 0.5
    shown = purpose if sensible else objects[rival][0]
    name = rng.choice(w.NAMES)
    text = rng.choice(
        (
            f"{name} uses the {thing} to {shown}.",
            f"You can {shown} with {article(thing)}.",
            f"{name} bought {article(thing)} in order to {shown}.",
            f"{sentence(article(thing))} helps you to {shown}.",
            f"To {shown}, {name} took the {thing}.",
        )
    )
    options = [thing, rival]
    rng.shuffle(options)
    return Draw(
        text,
        {
            "sensible": "yes" if sensible else "no",
            "object": thing,
            "purpose": purpose,
            "place": place,
            "material": material,
            "weight": weight,
            "option 1": options[0],
            "option 2": options[1],
            "choice": "first" if options[0] == thing else "second",
            "person": name,
        },
    )


@dataclass(frozen=True, slots=True)
class _Event:
    person: str
    verb: tuple[str, str, str, str]
    adjective: tuple[str, str, str]
    thing: tuple[str, str]
    city: str
    day: str

    def told(self, rng: Random, verb: int = 0, adjective: int = 0) -> str:
        """The event as a sentence; ``verb`` and ``adjective`` choose the word (0), its synonym (1) or opposite (2)."""
        deed = f"{self.verb[verb]} the {self.adjective[adjective]} {self.thing[0]}"
        return rng.choice(
            (
                f"{self.person} {deed} in {self.city} on {self.day}.",
                f"On {self.day}, {self.person} {deed} in {self.city}.",
                f"In {self.city}, {self.person} {deed} on {self.day}.",
                f"It was {self.person} who {deed} in {self.city} on {self.day}.",
            )
        )


def _event(rng: Random, domain: str, *others: _Event) -> _Event:
    return _Event(
        _other(rng, w.NAMES, *(o.person for o in others)),
        _other(rng, w.VERBS[domain], *(o.verb for o in others)),
        rng.choice(w.ADJECTIVES),
        _other(rng, w.GOODS[domain], *(o.thing for o in others)),
        _other(rng, w.CITIES, *(o.city for o in others)),
        _other(rng, w.DAYS, *(o.day for o in others)),
    )


def pair(rng: Random, domain: str) -> Draw:
    """Two sentences that tell the same event in other words, or differ in one point or two."""
    event = old = _event(rng, domain)
    same = rng.random() < 0.5
    changed = "nothing"
    one = event.told(rng)
    verb, adjective = rng.choice(((1, 1), (1, 0), (0, 1)))
    points: set[str] = set()
    if not same:
        changed = rng.choice(("person", "place", "day", "action"))
        if changed == "action":
            verb = 2
        more = rng.choice(("person", "place", "day")) if rng.random() < 0.6 else changed
        points = {changed, more}
        changed = changed if more == changed else "several points"
        event = _Event(
            _other(rng, w.NAMES, event.person) if "person" in points else event.person,
            event.verb,
            event.adjective,
            event.thing,
            _other(rng, w.CITIES, event.city) if "place" in points else event.city,
            _other(rng, w.DAYS, event.day) if "day" in points else event.day,
        )
    new = {"person": event.person, "place": event.city, "day": event.day, "action": event.verb[2]}
    former = {"person": old.person, "place": old.city, "day": old.day, "action": event.verb[0]}
    return Draw(
        one,
        {
            "second": event.told(rng, verb, adjective),
            "same": "yes" if same else "no",
            "changed": changed,
            **{f"same {point}": "no" if point in points else "yes" for point in new},
            **({"new": new[changed], "former": former[changed]} if changed in new else {}),
        },
    )


def entailment(rng: Random, domain: str) -> Draw:
    """A premise and a hypothesis that follows from it, contradicts it, or does neither."""
    event = _event(rng, domain)
    relation = rng.choice(("entailment", "contradiction", "neutral"))
    name, (noun, hypernym) = event.person, event.thing
    if relation == "entailment":
        hypothesis = rng.choice(
            (
                f"{name} {event.verb[1]} the {noun}.",
                f"{name} {event.verb[0]} {article(hypernym)}.",
                f"{name} was in {event.city} on {event.day}.",
                f"The {noun} was {event.adjective[1]}.",
            )
        )
    elif relation == "contradiction":
        hypothesis = rng.choice(
            (
                f"{name} {event.verb[2]} the {noun}.",
                f"{name} did not {event.verb[3]} the {noun}.",
                f"{name} was in {_other(rng, w.CITIES, event.city)} on {event.day}.",
                f"The {noun} was {event.adjective[2]}.",
            )
        )
    else:
        hypothesis = rng.choice(
            (
                f"{name} has {rng.choice(w.SMALL)} children.",
                f"The {noun} was {rng.choice(w.COLOURS)}.",
                f"{name} works as {article(rng.choice(w.JOBS))}.",
                f"{name} paid {rng.randrange(10, 100)} dollars.",
            )
        )
    return Draw(event.told(rng), {"hypothesis": hypothesis, "relation": relation})


def entities(rng: Random, domain: str) -> Draw:
    """A sentence that names a person, a city, a company and a month, one of them in brackets."""
    person, city, company, month = (rng.choice(x) for x in (w.NAMES, w.CITIES, w.COMPANIES, w.MONTHS))
    values = {"person": person, "city": city, "company": company, "month": month}
    marked = rng.choice(tuple(values))
    shown = {**values, marked: f"[{values[marked]}]"} if domain.startswith("marked") else values
    pattern = rng.choice(w.ENTITY_PATTERNS[domain.removeprefix("marked ")])
    return Draw(pattern.format(**shown), {**values, "kind": marked})


def _asked_of(event: _Event) -> dict[str, tuple[str, str, str]]:
    """Question about an event: question, short answer, full sentence."""
    person, noun, (past, _, _, base) = event.person, event.thing[0], event.verb
    deed = f"{person} {past} the {noun}"
    return {
        "who": (f"Who {past} the {noun}?", person, f"{deed}."),
        "where": (f"Where did {person} {base} the {noun}?", event.city, f"{deed} in {event.city}."),
        "when": (f"When did {person} {base} the {noun}?", event.day, f"{deed} on {event.day}."),
        "what": (f"What did {person} {base} in {event.city}?", noun, f"{deed}."),
    }


def story(rng: Random, domain: str) -> Draw:
    """Two events, a question about one of them, its short answer and the whole sentence."""
    one = _event(rng, domain)
    two = _event(rng, domain, one)
    asked = rng.choice((one, two))
    noun, base = asked.thing[0], asked.verb[3]
    detail = rng.choice(("who", "where", "when", "what"))
    question, answer, full = _asked_of(asked)[detail]
    answerable = rng.random() < 0.5
    stranger = _other(rng, w.NAMES, one.person, two.person)
    unanswerable = rng.choice(
        (
            f"Where did {stranger} {base} the {noun}?",
            f"Why did {asked.person} {base} the {noun}?",
            f"How much did {asked.person} pay for the {noun}?",
            f"When did {stranger} {base} the {noun}?",
        )
    )
    return Draw(
        f"{one.told(rng)} {two.told(rng)}",
        {
            "question": question,
            "answer": answer,
            "full": full,
            "kind": detail,
            "maybe": question if answerable else unanswerable,
            "answerable": "yes" if answerable else "no",
            "first person": one.person,
            "second person": two.person,
            "first city": one.city,
            "second city": two.city,
            **{
                f"{part} {detail} {number}": text
                for number, event in enumerate((one, two), 1)
                for detail, texts in _asked_of(event).items()
                for part, text in zip(("question", "answer", "full"), texts, strict=True)
            },
        },
    )


def turn(rng: Random, scene: str) -> Draw:
    """One turn of a conversation and its dialogue act."""
    act = rng.choice(tuple(w.ACTS))
    items, places = w.SCENES[scene]
    text = rng.choice(w.ACTS[act][2]).format(
        item=rng.choice(items),
        place=rng.choice(places),
        person=rng.choice(w.NAMES),
        day=rng.choice(w.DAYS),
        number=rng.choice(w.SMALL),
    )
    tail = rng.choice(
        (
            "",
            "",
            "It is late.",
            "The shop is full today.",
            "My sister waits outside.",
            "What a day.",
            "It rains again.",
            "Time flies.",
        )
    )
    return Draw(f"{text} {tail}".strip() if rng.random() < 0.7 else f"{tail} {text}".strip(), {"act": act})  # fmt: skip


def slip(rng: Random, domain: str) -> Draw:
    """A sentence with one slip of grammar, or none, and the sentence as it should be."""
    name, other = rng.sample(w.NAMES, 2)
    verb, _, _, base = rng.choice(w.VERBS[domain])
    noun, city, day = rng.choice(w.GOODS[domain])[0], rng.choice(w.CITIES), rng.choice(w.DAYS)
    adjective = rng.choice(w.ADJECTIVES)[0]
    words = {
        "name": name,
        "other": other,
        "verb": verb,
        "base": base,
        "noun": noun,
        "city": city,
        "day": day,
        "adjective": adjective,
        "an": article(adjective),
        "no_an": _wrong_article(adjective),
    }
    right, wrong, error = rng.choice(w.SLIPS)
    right, wrong = right.format(**words), wrong.format(**words)
    broken = rng.random() < 0.5
    return Draw(
        wrong,
        {"right": right, "kind": error, "maybe": wrong if broken else right, "correct": "no" if broken else "yes"},
    )


def _wrong_article(word: str) -> str:
    return f"{'a' if word[0] in 'aeiou' else 'an'} {word}"


def table(rng: Random, domain: str) -> Draw:
    """A short record of fields, and sentences that tell it."""
    values = {
        "name": rng.choice(w.NAMES),
        "city": rng.choice(w.CITIES),
        "day": rng.choice(w.DAYS),
        "number": rng.choice(w.SMALL),
        "colour": rng.choice(w.COLOURS),
        "job": rng.choice(w.JOBS),
        "thing": rng.choice(w.GOODS["home"])[0],
        "price": str(rng.randrange(10, 100)),
        "year": str(rng.randrange(10, 100)),
        "firm": rng.choice(w.COMPANIES),
    }
    told = values | {"a_job": article(values["job"]), "a_colour": article(values["colour"])}
    slots, one, other = w.RECORDS[domain]
    keys = list(slots)
    rng.shuffle(keys)
    asked = rng.choice(keys)
    return Draw(
        " | ".join(f"{key}: {values[slots[key]]}" for key in keys),
        {
            "told": one.format(**told),
            "retold": other.format(**told),
            "key": asked,
            "value": values[slots[asked]],
        },
    )


def consequence(rng: Random, domain: str) -> Draw:
    """Two clauses, of which one brings about the other or neither does."""
    cause, effect = rng.choice(w.CAUSES[domain])
    swapped = rng.random() < 0.5
    one, two = (effect, cause) if swapped else (cause, effect)
    stray = _other(rng, tuple(e for _, e in w.CAUSES[domain]), effect)
    related = rng.random() < 0.5
    day, city = rng.choice(w.DAYS), rng.choice(w.CITIES)
    return Draw(
        f"(1) {sentence(one)}. (2) {sentence(two)}.",
        {
            "cause": "second" if swapped else "first",
            "effect": "first" if swapped else "second",
            "claim": f"On {day} in {city}, {cause}. For that reason, {effect if related else stray}.",
            "related": "yes" if related else "no",
            "scene": f"{day}, {city}.",
        },
    )


def pronoun(rng: Random, domain: str) -> Draw:
    """Two people of different gender, one of whom is later meant by a pronoun."""
    she, he = rng.choice(w.FEMALE), rng.choice(w.MALE)
    first, second = (she, he) if rng.random() < 0.5 else (he, she)
    meant = rng.choice((she, he))
    word = "she" if meant == she else "he"
    verb, _, _, base = rng.choice(w.VERBS[domain])
    noun = rng.choice(w.GOODS[domain])[0]
    city, day = rng.choice(w.CITIES), rng.choice(w.DAYS)
    meet = rng.choice(("met", "called", "visited", "thanked", "asked", "followed"))
    return Draw(
        f"{first} {meet} {second} in {city}, and on {day} {word} {verb} the {noun}.",
        {
            "meant": meant,
            "other": he if meant == she else she,
            "position": "first" if meant == first else "second",
            "pronoun": word,
            "question": f"Who {verb} the {noun}?",
            "verb": base,
        },
    )


def odd(rng: Random, domain: str) -> Draw:
    """Four words of which one is of another kind."""
    groups = [group for group in w.KINDS if group in w.KIND_DOMAINS[domain]]
    group, stranger = rng.sample(groups, 2)
    members = rng.sample(w.KINDS[group], 3)
    intruder = rng.choice([word for word in w.KINDS[stranger] if word not in w.KINDS[group]])
    listed = [*members, intruder]
    rng.shuffle(listed)
    return Draw(
        ", ".join(listed),
        {
            "odd": intruder,
            "near": members[0],
            "kind": group,
            "stranger": stranger,
            "first": listed[0],
            "last": listed[-1],
            "position": ("first", "second", "third", "fourth")[listed.index(intruder)],
        },
    )


FAMILIES: Mapping[str, Family] = {
    "review": Family(review, ("restaurant", "hotel", "airline", "gym"), tuple(w.THINGS)[4:]),
    "utterance": Family(utterance, ("travel", "bank", "delivery", "library"), tuple(w.INTENTS)[4:]),
    "news": Family(news, ("headline", "diary", "radio", "letter"), ("report", "post", "summary", "note")),
    "use": Family(use, ("kitchen", "garden"), ("office", "workshop", "bathroom", "street")),
    "pair": Family(pair, ("market", "farm", "studio", "harbour"), tuple(w.VERBS)[4:]),
    "entailment": Family(entailment, ("market", "farm", "studio", "harbour"), tuple(w.VERBS)[4:]),
    "entities": Family(
        entities,
        ("hiring", "courts", "marked hiring", "marked courts"),
        ("science", "sports", "trade", "culture", "marked science", "marked sports", "marked trade", "marked culture"),
    ),
    "story": Family(story, ("market", "farm", "studio", "harbour"), tuple(w.VERBS)[4:]),
    "turn": Family(turn, ("store", "office"), ("station", "school", "hospital", "camp")),
    "slip": Family(slip, ("market", "farm", "studio"), tuple(w.VERBS)[4:]),
    "table": Family(table, ("person", "event", "product"), ("trip", "order", "job")),
    "consequence": Family(consequence, ("road", "house"), ("farm", "school", "sea", "work")),
    "pronoun": Family(pronoun, ("market", "farm"), tuple(w.VERBS)[4:]),
    "odd": Family(odd, ("nature", "people"), ("things", "mixed")),
}
