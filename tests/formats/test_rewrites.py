"""The sentence rewrites: rule by rule, as properties, and counted over every definition at hand."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from official import OFFICIAL, needs_official

from snibench.formats.rewrites import declarative_form, imperative_sentences


@pytest.mark.parametrize(
    ("definition", "declared"),
    [
        # 1, lead-ins
        ("In this task, you are given a word.", "The input is a word."),
        ("Please note that words are short.", "Words are short."),
        ("Keep in mind that answers differ.", "Answers differ."),
        # 2, what is given
        ("You're provided with two words, and you are also given a hint.",
         "The input is two words, and the input is also a hint."),
        ("You will receive a list.", "The input is a list."),
        # 3 and 4, what is to be done
        ("Given a fact and a question, you need to answer it.",
         "The input is a fact and a question; the task is to answer it."),
        ("Given a list, Sort it.", "The input is a list; the task is to sort it."),
        ("Your job is to count.", "The task is to count."),
        ("You are given a word and you have to spell it.", "The input is a word and the task is to spell it."),
        ("You should not guess.", "The task is not to guess."),
        ("We would like you to rate it.", "The task is to rate it."),
        # 5, what must not be done
        ("DO NOT guess. Don't cheat. Avoid guessing.",
         "The output does not guess. The output does not cheat. The output avoids guessing."),
        # 6 and 8, commands
        ("Then, write it down.", "The task is then to write it down."),
        ("Just answer it.", "The task is to just answer it."),
        ("If it is new, say so.", "If it is new, the task is to say so."),
        ("Otherwise answer with no.", "Otherwise the task is to answer with no."),
        ("Tense: Change the tense.", "Tense: The task is to change the tense."),
        # 6, nouns that look like commands
        ("Output is a number. Answer should be short. Label: 1",
         "Output is a number. Answer should be short. Label: 1"),
        # 7, the person
        ("Words you find in your text, as you try to, help you.",
         "Words one finds in the text, as one tries to, help one."),
        ("Do you think it helps?", "Does one think it helps?"),
        ("Try your own words.", "The task is to try one's own words."),
        # 9, and what stays
        ("Little words don't count!", "Little words don't count."),
        ("i will always be less than n. You see i.", "i will always be less than n. The input is i."),
        ("Answer 'You are given!' or \"Don't know\".", "The task is to answer 'You are given!' or \"Don't know\"."),
        ("It has parts (e.g. Classify nothing).", "It has parts (e.g. Classify nothing)."),
        ('You should say "Stop!"', 'The task is to say "Stop!"'),
        ("One line.\n  Write another.", "One line.\n  The task is to write another."),
        ("", ""),
    ],
)  # fmt: skip
def test_a_definition_becomes_statements(definition: str, declared: str) -> None:
    assert declarative_form(definition) == declared


@pytest.mark.parametrize(
    ("definition", "sentences"),
    [
        ("You are given a word. Spell it. Words are short.", ("Spell it.",)),
        ("Given a word, spell it out loud.", ("Given a word, spell it out loud.",)),
        ('You are given a word. Your task is to say "Stop!" Do not shout!',
         ('Your task is to say "Stop!"', "Do not shout!")),
        ("You can use a pen. Words are short.", ()),
        ("", ()),
    ],
)  # fmt: skip
def test_directive_sentences_are_kept_as_written(definition: str, sentences: tuple[str, ...]) -> None:
    assert imperative_sentences(definition) == sentences


@given(st.text(max_size=200))
def test_any_text_can_be_rewritten(definition: str) -> None:
    declarative_form(definition)
    for sentence in imperative_sentences(definition):
        assert sentence in definition


@given(st.text(st.characters(categories=("L", "Nd", "Zs", "Po"), exclude_characters='"'), min_size=1, max_size=80))
def test_a_quoted_label_is_never_touched(label: str) -> None:
    assert f'"{label}"' in declarative_form(f'You should answer "{label}" if you like your text!')


SECOND_PERSON = re.compile(r"\b(?:you|your|yours|yourself|you're)\b", re.IGNORECASE)
QUOTED = re.compile(r""""[^"\n]*"|(?<!\w)'[^'\n]*'(?!\w)""")
# The verb list of the protocol page, not the module's own; a noun has a verb or colon behind it.
COMMAND = re.compile(
    r"(?:answer|ask|assign|break|calculate|categorize|change|check|choose|classify|combine|compare|complete|compute"
    r"|construct|convert|correct|count|craft|create|decide|detect|determine|ensure|evaluate|explain|extract|fill|find"
    r"|form|formulate|generate|give|identify|indicate|infer|insert|judge|label|list|make|mark|modify|name|note|output"
    r"|paraphrase|perform|pick|predict|produce|provide|rank|read|recognize|remove|rephrase|replace|reply|respond|return"
    r"|reverse|rewrite|say|select|simplify|solve|sort|state|summarize|swap|tell|think|translate|try|turn|type|use"
    r"|verify|write)\b(?!:|,| (?:is|are|should|must|can|cannot|will|has|contains|choices|options)\b)",
    re.IGNORECASE,
)


@needs_official
def test_no_definition_at_hand_addresses_or_commands_anybody_and_none_loses_a_label() -> None:
    counts = dict.fromkeys(("tasks", "second", "second left", "command", "command left", "labels", "labels lost"), 0)
    counts |= {"unchanged": 0, "directive": 0}
    for path in sorted(OFFICIAL.glob("tasks*/*.json")):
        fields = json.loads(path.read_text(encoding="utf-8"))
        definition = fields["Definition"][0].strip()
        declared = declarative_form(definition)
        outputs = [instance["output"][0] for instance in fields["Instances"]]
        labels = set(outputs) if len(set(outputs)) <= min(20, len(outputs) / 4) else set()
        mentioned = [label for label in labels if label and stands_in(label, definition)]
        counts["tasks"] += 1
        counts["second"] += bool(SECOND_PERSON.search(QUOTED.sub("", definition)))
        counts["second left"] += bool(SECOND_PERSON.search(QUOTED.sub("", declared)))
        counts["command"] += commands(definition)
        counts["command left"] += commands(declared)
        counts["labels"] += len(mentioned)
        counts["labels lost"] += sum(not stands_in(label, declared) for label in mentioned)
        counts["unchanged"] += declared == definition
        counts["directive"] += bool(imperative_sentences(definition))
    assert counts == {
        "tasks": 614,
        "second": 503,
        "second left": 0,
        "command": 184,
        "command left": 0,
        "labels": 868,
        "labels lost": 0,
        "unchanged": 12,
        "directive": 598,
    }


def stands_in(label: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(label)}(?!\w)", text) is not None


def commands(text: str) -> bool:
    """Whether a sentence outside quotation marks begins with a verb of the list."""
    return any(COMMAND.match(sentence) for sentence in re.split(r"(?<=[.!?]) +(?=[A-Z])", QUOTED.sub("''", text)))
