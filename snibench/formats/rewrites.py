"""A definition in other sentence forms, by rules alone: no model, no network, no chance."""

from __future__ import annotations

import re
from functools import lru_cache

# Verbs that begin a directive sentence in Super-NaturalInstructions definitions.
_VERBS = """
    answer ask assign break calculate categorize change check choose classify combine compare complete compute construct
    convert correct count craft create decide detect determine ensure evaluate explain extract fill find form formulate
    generate give identify indicate infer insert judge label list make mark modify name note output paraphrase perform
    pick predict produce provide rank read recognize remove rephrase replace reply respond return reverse rewrite say
    select simplify solve sort state summarize swap tell think translate try turn type use verify write
""".split()
_V = rf"(?:{'|'.join(_VERBS)})"
_SENTENCE_END = re.compile(r"""((?<=[.!?])["')\]]?\s+(?=[A-Z0-9"'(\[])|\s*\n\s*)""")
_QUOTED = re.compile(
    r"""(?<!\w)(?:"([^"\n]{1,80}?)([.!?]?)"|'((?:[^'\n]|(?<=\w)'(?=\w)){1,80}?)([.!?]?)'|“([^”\n]{1,80}?)([.!?]?)”|‘([^’\n]{1,80}?)([.!?]?)’)(?!\w)"""
)


def _rule(pattern, replacement):
    return re.compile(pattern, re.IGNORECASE), replacement


_MODAL = r"(?:should|must|need to|shall|can|could|may|will|would)"
_DUTY = r"(?:(?:are|will be|'re|were)(?: also| then| only)? (?:asked|expected|required|supposed|instructed|tasked|going|requested|needed|to) ?(?:to)?|(?:will )?(?:need|have|want|get|ought|are) to|should|must|shall|can|could|may|will)"
_RULES = [
    _rule(r"\bplease,?\s+", ""),
    _rule(r"^(?:in|for) this (?:task|question|problem),?\s*", ""),
    _rule(r"^here,\s*|^here (?=you)", ""),
    _rule(r"^(?:note|remember|keep in mind|be aware)(?: that|,|:)?\s+", ""),
    _rule(
        r"^you(?: are|'re| will be|'ll be| would be| have been)(?: first)? (?:given|provided(?: with)?|presented with|shown)\s+",
        "The input is ",
    ),
    _rule(r"^you (?:will |would )?(?:receive|get|see)\s+", "The input is "),
    _rule(r"^we (?:will )?(?:give|provide|show) you (?:with )?", "The input is "),
    _rule(
        rf"^given (.+?), (?:and )?(?:(?:your|the) (?:task|job|goal) is to |you {_DUTY} )?(?={_V}\b)",
        r"The input is \1; the task is to ",
    ),
    _rule(r"^(?:your|the) (?:task|job|goal|objective|aim)(?: here)? is to\b", "The task is to"),
    _rule(rf"^you {_DUTY}\b", "The task is to"),
    _rule(r"\b(?:your|the) (?:task|job|goal|objective|aim)(?: here)? is to\b", "the task is to"),
    _rule(rf"\byou {_DUTY}\b", "the task is to"),
    _rule(r"^(?:do not|don't|never|avoid)\b", "The output does not"),
    _rule(rf"^(?:then|also|finally|next),? (?={_V}\b)", "The task is then to "),
    _rule(rf"^(?={_V}\b)", "The task is to "),
    _rule(r"\byourself\b", "oneself"),
    _rule(r"\byour\b", "the"),
    _rule(r"\byou(?: are|'re)\b", "one is"),
    _rule(r"\byou\b", "one"),
    _rule(rf"^((?:if|when|based on|otherwise|given|for|in)\b[^.]*?), (?={_V}\b)", r"\1, the task is to "),
    _rule(r"!", "."),
]


@lru_cache(maxsize=4096)
def declarative_form(definition: str) -> str:
    masked, quoted = _mask(definition)
    pieces = _SENTENCE_END.split(masked)
    pieces[::2] = [_declarative(s) for s in pieces[::2]]
    return _unmask("".join(pieces), quoted)


def _declarative(s):
    for p, r in _RULES:
        s = p.sub(r, s)
    return s[:1].upper() + s[1:]


def _mask(text):
    quoted = []

    def hide(m):
        g = [x for x in m.groups() if x is not None]
        quoted.append(g[0])
        return f"{m[0][0]}\ue000{len(quoted) - 1}\ue001{g[1]}{m[0][-1]}"

    return _QUOTED.sub(hide, text), quoted


def _unmask(text, quoted):
    return re.sub("\ue000(\\d+)\ue001", lambda m: quoted[int(m[1])], text)


_DIRECTIVE = re.compile(rf"your (?:task|job|goal)|you (?:are asked|need to|should|must|have to|can)|^{_V}\b", re.I)


@lru_cache(maxsize=4096)
def imperative_sentences(definition: str) -> tuple[str, ...]:
    masked, quoted = _mask(definition)
    return tuple(_unmask(s, quoted).strip() for s in _SENTENCE_END.split(masked)[::2] if _DIRECTIVE.search(s))
