"""A definition in other sentence forms, by rules alone: no model, no network, no chance.

What stands in quotation marks is never touched: it is mostly an answer to be given.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from re import Match, Pattern

# ------------------------------------------------------------------------------------------- what sentences are

_QUOTATION_MARKS = (('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’"), ("`", "`"))
# At most 80 characters; a mark with a letter on both sides is an apostrophe.
_QUOTED = re.compile(
    "|".join(
        ["\ue000\\d+\ue001"]  # so that a text which looks like a mask is masked itself
        + [rf"(?<!\w){o}(?:[^{c}\n]|(?<=\w){c}(?=\w)){{1,80}}?{c}(?!\w)" for o, c in _QUOTATION_MARKS]
    )
)
_MASK = re.compile("\ue000(\\d+)\ue001")
_BOUNDARY = re.compile(r"""((?:(?<=[.!?])|(?<=[.!?]["')\]]))(?<!e\.g\.)(?<!i\.e\.)\s+(?=[A-Z0-9"'(\[])|\s*\n\s*)""")
# "3) ", "(b) ", "- ", "Tense: ": what may stand before the sentence proper.
_MARKER = re.compile(r"\(?\w{1,2}[.)]\s+|[-*•]\s+|\w+:\s+(?=[A-Z])")


def _sentences(text: str) -> tuple[list[str], list[str], list[str]]:
    """Sentences of ``text``, what stands between them, and the quoted spans that are masked in both."""
    quoted: list[str] = []

    def masked(match: Match[str]) -> str:
        inner = match[0][1:-1]
        stop = inner[-1] if inner[-1] in ".!?" else ""  # stays visible, because it may end the sentence
        quoted.append(inner.removesuffix(stop))
        return f"{match[0][0]}\ue000{len(quoted) - 1}\ue001{stop}{match[0][-1]}"

    pieces = _BOUNDARY.split(_QUOTED.sub(masked, text))
    return pieces[::2], [*pieces[1::2], ""], quoted


def _unmasked(text: str, quoted: list[str]) -> str:
    return _MASK.sub(lambda match: quoted[int(match[1])], text)


# --------------------------------------------------------------------------------------------------- the rules

# Verbs that begin a directive in the definitions of Super-NaturalInstructions: a closed list, no tagger.
_VERB_LIST = """
    add answer arrange ask assess assign assume break calculate categorize change check choose classify combine compare
    complete compose compute concatenate consider construct convert copy correct count craft create decide deduce
    denote describe detect determine ensure evaluate explain extract figure fill find follow form formulate generate
    give identify imagine indicate infer insert judge keep label list localize maintain make mark match modify multiply
    name output paraphrase perform pick predict preserve prioritize produce provide rank read recognize remove reorder
    rephrase replace reply respond response retain return reverse rewrite round say see select separate simplify solve
    sort spell split start state stick substitute subtract suggest summarize swap tell think transform translate try
    turn type use utilize verify write
"""
_VERBS = "|".join(_VERB_LIST.split())
# A verb of the list is a noun where it has a verb or a colon behind it: "Output is 1", "Label: 1".
_V = (
    rf"(?:{_VERBS})\b"
    r"(?!\s*[:,]|\s+(?:is|are|was|were|should|must|may|can|cannot|could|will|would|has|have|contains?"
    r"|choices|options)\b)"
)
_ADVERB = r"(?:(?:also|always|carefully|first|just|only|simply|still|then)\s+)?"
_SHOWN = r"(?:given|provided(?: with)?|presented(?: with)?|shown)"
_ARE = r"(?:\s+are|['’]re|\s+will\s+be|['’]ll\s+be|\s+would\s+be|\s+have\s+been)"
_TOLD = r"(?:asked|expected|required|supposed|instructed|tasked|requested|needed|going)"
_DUTY = rf"(?:{_ARE}\s+{_ADVERB}(?:{_TOLD}\s+)?to|\s+{_ADVERB}(?:(?:will\s+)?(?:need|have)\s+to|should|must|shall))"
_AIM = r"(?:your|the)\s+(?:main\s+|final\s+)?(?:task|job|goal|objective|aim)(?:\s+here)?\s+(?:is|will\s+be)\s+"
_OPENER = (
    r"(?:after|additionally|also|although|as|based\s+on|because|before|considering|depending\s+on|else|finally|for|from"
    r"|given|hence|here|however|if|in|instead|knowing|next|once|otherwise|since|so|then|therefore|thus|to|using|when"
    r"|where|while|with|within|without)"
)

_Replacement = str | Callable[[Match[str]], str]


def _third_person(verb: str) -> str:
    verb = verb.lower()
    if verb == "have":
        return "has"
    if re.search(r"[^aeiou]y$", verb):
        return f"{verb[:-1]}ies"
    return f"{verb}es" if re.search(r"(?:s|sh|ch|x|o)$", verb) else f"{verb}s"


def _lower(template: str) -> Callable[[Match[str]], str]:
    """``template`` filled with the groups of a match, the last one (a verb) in lower case."""
    return lambda match: template.format(*match.groups()[:-1], (match.groups()[-1] or "").lower())


_RULES: tuple[tuple[Pattern[str], _Replacement], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        # 1. Lead-ins that only address the reader.
        (r"\bplease,?\s+", ""),
        (r"^(?:in|for)\s+this\s+(?:sub)?(?:task|question|problem)\b,?\s*", ""),
        (r"^here,?\s+(?=you)|^here,\s+", ""),
        (r"^(?:note|remember|keep\s+in\s+mind|be\s+aware)(?:\s+(?:that|to)\b)?[,:]?\s+", ""),
        # 2. What is given.
        (rf"^you{_ARE}\s+({_ADVERB}){_SHOWN}\s+", r"The input is \1"),
        (rf"((?:,|;|\band)\s+)you{_ARE}\s+({_ADVERB}){_SHOWN}\s+", r"\1the input is \2"),
        (r"^you\s+(?:will\s+|would\s+)?(?:receive|get|see)\s+", "The input is "),
        (r"^we\s+(?:will\s+)?(?:give|provide|show)\s+you\s+(?:with\s+)?", "The input is "),
        # 3. Given this, do that.
        (rf"^given\s+([^.;]+?),\s+(?:{_AIM}to\s+|you{_DUTY}\s+)?({_V})", _lower("The input is {}; the task is to {}")),
        # 4. What is to be done.
        (rf"^{_AIM}", "The task is "),
        (rf"\b{_AIM}", "the task is "),
        (rf"^you(?:{_DUTY}|\s+(?:want|ought)\s+to)\s+not\b", "The task is not to"),
        (rf"^you(?:{_DUTY}|\s+(?:want|ought)\s+to|\s+will(?!\s+be))\b", "The task is to"),
        (r"^we\s+(?:would\s+|will\s+)?(?:like|want|ask|expect|need)\s+you\s+to\b", "The task is to"),
        (rf"\byou{_DUTY}\s+not\b", "the task is not to"),
        (rf"\byou{_DUTY}\b", "the task is to"),
        # 5. What must not be done.
        (r"^(?:do\s+not|don['’]t|never)\b", "The output does not"),
        (r"^avoid\b", "The output avoids"),
        # 6. Commands.
        (rf"^(?:then|also|finally|next|lastly),?\s+({_V})", _lower("The task is then to {}")),
        (rf"^({_ADVERB})({_V})", lambda match: f"The task is to {match[0].lower()}"),
        # 7. The person addressed becomes anybody.
        (r"\byourself\b", "oneself"),
        (r"\byours\b|\byour(?=\s+own\b)", "one's"),
        (r"\byour\b", "the"),
        (r"\byou(?:\s+are|['’]re)\b", "one is"),
        (r"\byou['’](ll|ve|d)\b", r"one'\1"),
        (r"\bdo\s+you\b", "does one"),
        (r"\b(can|could|would|should|must|may|might|will|did|lets?|helps?|makes?|made)\s+you\b", r"\1 one"),
        (
            rf"\byou\s+((?:also|just|only|really|still)\s+)?((?:{_VERBS}"
            r"|believe|come|do|feel|go|have|know|like|mention|need|specify|understand|want)\b)",
            lambda match: f"one {match[1] or ''}{_third_person(match[2])}",
        ),
        (r"\byou\b", "one"),
        # 8. A clause, then a command.
        (rf"^({_OPENER}\b[^.;:]*?,\s+|(?:otherwise|else)\s+)(?:then\s+)?({_V})", _lower("{}the task is to {}")),
        # 9. No exclamation.
        (r"!+(?=[)\]]*$)", "."),
    )
)


@lru_cache(maxsize=4096)
def declarative_form(definition: str) -> str:
    """``definition`` as statements: no second person, no sentence that begins with a command.

    Rules in a fixed order, sentence by sentence; quoted spans, and with them quoted labels, stay as they are. A
    sentence that no rule fits is unchanged. docs/formats.md counts how often each claim holds.
    """
    sentences, gaps, quoted = _sentences(definition)
    stated = (f"{_stated(sentence)}{gap}" for sentence, gap in zip(sentences, gaps, strict=True))
    return _unmasked("".join(stated), quoted)


@lru_cache(maxsize=4096)
def imperative_sentences(definition: str) -> tuple[str, ...]:
    """The sentences of ``definition`` that say what to do or not to do, as they are written; maybe none.

    They are those whose ``declarative_form`` speaks of the task or of what the output does not do.
    """
    sentences, _, quoted = _sentences(definition)
    return tuple(_unmasked(sentence, quoted).strip() for sentence in sentences if _DIRECTS.search(_stated(sentence)))


_DIRECTS = re.compile(r"\bthe task is (?:\w+ )?to\b|^The output (?:does not|avoids)\b", re.IGNORECASE)


def _stated(sentence: str) -> str:
    marker = found[0] if (found := _MARKER.match(sentence)) else ""
    body = sentence.removeprefix(marker)
    stated = body
    for pattern, replacement in _RULES:
        stated = pattern.sub(replacement, stated)
    # Only a beginning that changed is capitalised: "i is an integer" begins with a name.
    if stated[:1] != body[:1]:
        stated = stated[:1].upper() + stated[1:]
    return marker + stated
