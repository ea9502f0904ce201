# ruff: noqa: E501 (tables of wordings)
"""What is asked, as a thing with many names: a verb, a name and a tail make thousands of ways to ask for it.

The two other sources of wordings (``tiny_views``, ``tiny_prose``) hold whole sentences, few for each question. A model
that has read only those takes a definition of suite ``mini`` for something else.
"""

from __future__ import annotations

from random import Random

from snibench.data.mini.grammar import sentence

# Written out as an answer: the thing itself. Closed: what is to be judged.
NAMED: dict[tuple[str, str], tuple[str, ...]] = {
    ("review", "overall"): ("the overall sentiment", "the general feeling of the writer", "the final verdict", "the mood of the customer at the end", "the attitude of the author as a whole", "the opinion as a whole", "how satisfied the customer is", "whether the writer is content or not", "the tone of the whole comment", "how the buyer feels after all"),
    ("review", "opinion"): ("the opinion on the named aspect", "the view of the aspect behind the text", "how the aspect is judged", "the sentiment towards this one part", "what the customer thinks of the part named last", "whether this part was liked", "the judgement about the aspect alone"),
    ("review", "liked"): ("the thing that was liked", "what pleased the customer", "the good thing", "the part that gets praise", "the one thing that is praised", "the name of what was good", "what the writer is content with", "the strong point", "the advantage"),
    ("review", "disliked"): ("the thing that was not liked", "what annoyed the customer", "the bad thing", "the part that gets blame", "the one thing that is criticised", "the name of what was bad", "what the writer complains about", "the weak point", "the disadvantage"),
    ("review", "said"): ("the word that judges the aspect", "what is said about the part", "the word for the part", "the praise or blame of this aspect", "how the aspect is called"),
    ("review", "aspect"): ("the thing that the word is about", "what is called so", "the part that is judged by this word", "the thing behind the word"),
    ("utterance", "intent"): ("the intent of the user", "the purpose of the message", "the wish behind these words", "what the person wants to have done", "the service that is needed", "the kind of request", "the type of the message", "the aim of the caller", "what somebody should do for the client"),
    ("utterance", "city"): ("the city", "the name of the city", "the town", "the destination", "the place on the map", "where it should be", "the city named by the user", "the location"),
    ("utterance", "day"): ("the day", "the day of the week", "the weekday", "the date", "when it should be", "the time that is wished", "the day named by the user"),
    ("utterance", "person"): ("the person", "the name of the person", "who is spoken of", "the human being", "the name in it", "whom it is about"),
    ("utterance", "number"): ("the number", "the quantity", "how many there should be", "the count", "the number word", "how many are asked for"),
    ("utterance", "colour"): ("the colour", "which colour it has", "the name of the colour", "how it is coloured", "the word for the colour"),
    ("utterance", "room"): ("the room", "in which room it is", "the name of the room", "the part of the house", "the word for the room"),
    ("utterance", "amount"): ("the amount", "the sum of money", "how much money it is", "the money in digits", "the value in dollars", "the sum as a number"),
    ("news", "topic"): ("the main topic", "the subject of the main story", "the section of the main news", "what most of the text is about", "the category of the story", "the field that the important part is from", "the theme", "the subject that matters most"),
    ("news", "aside"): ("the topic of the remark", "the subject of the side note", "what is only mentioned", "the category of the smaller part", "the field of the last remark", "the subject of the less important part", "the theme of what is said in passing"),
    ("use", "sensible"): ("whether it makes sense", "if the statement is sensible", "whether people do that", "if the thing can be used so", "whether it is nonsense", "how plausible it is", "whether the use is a normal one"),
    ("use", "object"): ("the object that helps", "the right thing of the two", "the thing that one needs", "the option that serves the purpose", "the name of the useful thing", "the thing made for this", "the better one of the options"),
    ("use", "choice"): ("the right option", "the number of the option that helps", "which option serves the purpose", "whether the first or the second is right", "which of the two things to take"),
    ("use", "weight"): ("its weight", "how heavy it is", "whether one can lift it"),
    ("use", "purpose"): ("its purpose", "what it is good for", "its use", "what one does with it"),
    ("pair", "same"): ("whether both mean the same", "if the meaning is kept", "whether they agree in all points", "if one is the other in new words", "whether they tell one event", "if the reports contradict each other", "whether there is a difference in meaning", "how the two compare"),
    ("pair", "changed"): ("the point that was changed", "what makes them differ", "the kind of difference", "the detail that is not the same", "which part is new", "the part in which they disagree"),
    ("pair", "same person"): ("the persons", "whether the person is the same", "if the names agree", "whether one person acts in both"),
    ("pair", "same place"): ("the places", "whether the city is the same", "if the places agree", "whether both happen in one city"),
    ("pair", "same day"): ("the days", "whether the day is the same", "if the days agree", "whether both happen on one day"),
    ("pair", "same action"): ("the deeds", "whether the deed is the same", "if the verbs agree in meaning", "whether the same is done in both"),
    ("pair", "new"): ("the changed word", "the word that is new", "the word of the second sentence that differs", "what the second sentence says instead"),
    ("pair", "former"): ("the word that was replaced", "the word of the first sentence that is gone", "what the first sentence said instead"),
    ("entailment", "relation"): ("the relation of the two", "whether the claim follows", "if the guess must be right", "what the facts say about the claim", "whether the statement is supported", "the logical link", "if the second can be true", "the truth of the claim"),
    ("entities", "person"): ("the person", "the name of the person", "the human being", "who is mentioned", "the man or the woman", "the name of somebody", "the individual"),
    ("entities", "city"): ("the city", "the name of the city", "the town", "the place", "where it happens", "the location", "the place name"),
    ("entities", "company"): ("the company", "the name of the company", "the firm", "the business", "the organization", "the employer", "the firm's name"),
    ("entities", "month"): ("the month", "the name of the month", "the time of the year", "the date", "when it happens"),
    ("entities", "kind"): ("the kind of the name in brackets", "the type of the marked entity", "the class of the bracketed word", "what the brackets hold", "the sort of thing that is marked", "what the marked name stands for"),
    ("story", "answer"): ("the answer", "the short answer", "the word that answers the question", "the detail that somebody asks for", "the reply in one word", "what the question asks for", "the right word of the text", "the piece of the text that answers it"),
    ("story", "full"): ("a full sentence as an answer", "the answer as a sentence", "a complete sentence", "a reply in a whole sentence", "a sentence that answers the question", "the answer in the form of a sentence", "a sentence with the name and the deed"),
    ("story", "kind"): ("what the question asks for", "the type of the question", "the sort of answer that is wanted"),
    ("story", "answerable"): ("whether there is an answer", "if the text holds the answer", "whether the question can be answered", "if one can know it from the text", "whether the detail is given", "if the notes tell it"),
    ("story", "first person"): ("the person of the first sentence", "the name at the first place", "who acts first"),
    ("story", "second person"): ("the person of the second sentence", "the name in the second sentence", "who acts second"),
    ("story", "first city"): ("the city of the first sentence", "the first place", "the town named first"),
    ("story", "second city"): ("the city of the second sentence", "the second place", "the town named second"),
    ("turn", "act"): ("the act of the speaker", "the function of the line", "the dialogue act", "what the speaker does by these words", "the type of the turn", "the aim of the utterance", "the role of the words in the talk"),
    ("slip", "right"): ("the sentence without the mistake", "the corrected sentence", "the right version", "the line in good grammar", "the sentence as it should stand", "the whole line with the error repaired", "the proper sentence"),
    ("slip", "correct"): ("whether the grammar is right", "if there is a mistake", "whether the line is well formed", "if something must be corrected", "whether the language is in order", "if the sentence may stay as it is"),
    ("slip", "kind"): ("the kind of mistake", "what is wrong", "the type of the error"),
    ("table", "told"): ("a sentence that tells the data", "one sentence with all the fields", "the record in words", "the row as a sentence", "a sentence for a reader", "a description with every value", "the data as a text"),
    ("table", "value"): ("the value of the named field", "what the field holds", "the entry under the key", "the content of the field"),
    ("consequence", "cause"): ("the cause", "the event that led to the other", "the reason of the two", "which one made the other happen", "what brought the other about", "the one that came before"),
    ("consequence", "related"): ("whether the reason fits", "if the one could lead to the other", "whether the explanation is logical", "if the link makes sense", "whether it really is the reason"),
    ("pronoun", "meant"): ("the name behind the pronoun", "the person who is meant", "the name of the one who did it", "the person that the short word stands for", "the right one of the two people", "who is spoken of at the end"),
    ("pronoun", "pronoun"): ("whether a man or a woman acts", "the gender of the person", "if it is she or he"),
    ("odd", "odd"): ("the odd one", "the word that does not fit", "the word of another sort", "the stranger", "the one that is different", "the word that has no place there", "the intruder", "the exception"),
    ("odd", "kind"): ("the kind of most of them", "what most of the words are", "the group that they belong to"),
    ("odd", "first"): ("the first word", "the word at the start"),
    ("odd", "last"): ("the last word", "the word at the end"),
    ("odd", "position"): ("the place of the odd word", "where the word of another kind stands"),
}  # fmt: skip

_DO = (
    "find", "extract", "write", "write down", "name", "give", "tell", "copy", "pick out", "look for", "say", "output", "return", "identify",
    "state", "report", "take out", "get", "provide", "produce", "fill in", "point out", "detect", "search for", "read off", "supply", "note",
)  # fmt: skip
_JUDGE = (
    "tell", "decide", "judge", "determine", "classify", "find", "find out", "say", "label", "choose", "state", "identify", "check", "assess",
    "think about", "make out", "give", "indicate", "report", "work out", "estimate", "mark", "name",
)  # fmt: skip
_TAIL = ("", "", "", "", " in it", " from the text", " and nothing else", " as it stands there", " with care", " for us", " that is mentioned", " below")  # fmt: skip
_SAID = (
    "{N} is wanted.", "We need {n}.", "We want to know {n}.", "Somebody asks for {n}.", "What is {n}?", "It is about {n}.", "The answer is {n}.",
    "The output is {n}.", "Your answer should be {n}.", "Only {n} is asked for.", "The question is {n}.", "{N}, please.", "Reply with {n}.",
)  # fmt: skip
_MADE = ("full", "right", "told")  # answers that are sentences


def composed(rng: Random, family: str, key: str, closed: bool) -> str:
    """A way to ask for ``key`` of ``family`` that no list holds: an infinitive, or a sentence with its mark."""
    name = rng.choice(NAMED[family, key])
    clause = name.split()[0] in ("whether", "if", "how", "what", "which", "who", "whom", "when", "where", "in")
    if rng.random() < 0.3 and not clause:
        return rng.choice(_SAID).format(n=name, N=sentence(name))
    verb = rng.choice(_JUDGE[:9] if closed and clause else _JUDGE if closed else _DO)
    if key in _MADE:
        verb = rng.choice(("write", "give", "produce", "return", "output", "provide", "make", "print"))
    elif clause and not closed:
        verb = rng.choice(("tell", "say", "write", "find out", "state", "write down"))
    return verb + " " + name + ("" if closed or key in _MADE else rng.choice(_TAIL))
