# ruff: noqa: E501 (tables of wordings)
"""What can be asked of each family in pre-training: features, their classes, many words and wordings.

Nothing here is used by suite ``mini``: its definitions are written by hand, apart, in domains of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from snibench.data.mini import words as w
from tiny_pretraining.intents import MORE_INTENTS

Classes = dict[str, tuple[tuple[str, ...], tuple[str, ...]]]  # value -> label words, descriptions


@dataclass(frozen=True)
class Feature:
    """One thing to ask: ``key`` into a draw's meaning; ``classes`` empty = the answer is written out."""

    family: str
    category: str
    key: str
    inputs: tuple[str, ...]  # what the input is called
    asks: tuple[str, ...]  # what to do, infinitive
    frame: str = "{text}"  # how the input is made of the draw
    classes: Classes = field(default_factory=dict)
    answer: str = "{}"
    domains: str = ""  # only domains with this prefix
    weight: float = 1.0
    late: float = 1.0  # how much oftener it is asked in the second cycle: what the first leaves near a guess


YES = (("yes", "no"), ("Yes", "No"), ("true", "false"), ("True", "False"), ("right", "wrong"), ("correct", "incorrect"), ("1", "0"), ("agree", "disagree"), ("valid", "invalid"), ("A", "B"))  # fmt: skip

POLARITY: Classes = {
    "positive": (("positive", "good", "happy", "pleased", "favorable", "satisfied", "praise"), ("the writer is pleased", "the opinion is good", "the author would come back", "the writer recommends it", "the customer is satisfied", "it ends with praise")),
    "negative": (("negative", "bad", "unhappy", "angry", "unfavorable", "dissatisfied", "blame"), ("the writer is angry", "the opinion is bad", "the author will not come back", "the writer warns others", "the customer is disappointed", "it ends with blame")),
    "neutral": (("neutral", "average", "indifferent", "middle", "unsure"), ("the writer has no clear opinion", "it is neither good nor bad", "the author is indifferent", "the customer does not care")),
}  # fmt: skip
FEELINGS = {
    "positive": ("pleased", "happy", "content", "satisfied", "glad", "in a good mood"),
    "negative": ("angry", "unhappy", "disappointed", "not content", "not satisfied", "in a bad mood"),
    "neutral": ("indifferent", "of no clear opinion", "neither happy nor angry"),
}
WRITERS = (
    "the writer",
    "the customer",
    "the author",
    "the client",
    "the buyer",
    "this person",
    "whoever wrote it",
    "the speaker",
)
ASPECT: Classes = {
    "positive": (POLARITY["positive"][0], ("the part is praised", "the opinion on it is good", "they liked it", "this part was good")),
    "negative": (POLARITY["negative"][0], ("the part is blamed", "the opinion on it is bad", "they did not like it", "this part was bad")),
}  # fmt: skip
REVIEWS = (
    "a review",
    "a customer review",
    "an opinion about something",
    "what somebody wrote about a product",
    "a comment by a client",
    "a short critique",
)
PAIRS = ("two sentences", "a pair of sentences", "two statements", "sentence A and sentence B")
STORIES = (
    "a passage and a question",
    "a short text with a question",
    "two facts and a question",
    "a text and something asked about it",
)
MESSAGES = (
    "what a user says",
    "a message to an assistant",
    "an utterance",
    "a spoken command",
    "a sentence by a customer",
    "a wish of a client",
)

_WISHES: dict[str, tuple[str, ...]] = {
    "play": ("music should begin", "they ask for a song"), "pause": ("the music should end", "they ask for quiet"),
    "rate": ("they tell how good a song is", "they praise or blame the music"), "find": ("they do not know where a song is", "a song must be looked for"),
    "on": ("something should be put on", "they want a device to run"), "off": ("something should be put off", "they do not need a device any more"),
    "lock": ("nobody should come in", "they want a door closed"), "clean": ("something is dirty", "they want less dirt"),
    "add": ("they plan something new", "something new goes into the plan"), "delete": ("something is taken out of the plan", "they drop a meeting"),
    "move": ("they prefer another day", "something is put on another day"), "show": ("they want to see the plan", "they ask for what will happen"),
    "order": ("they want to have something", "they ask for goods"), "return": ("they send something back", "they do not want it any more"),
    "track": ("they ask if it is on the way", "they wait for something and ask where it is"), "size": ("they ask whether it fits", "they ask for its length"),
    "visit": ("they want to be seen by a doctor", "they ask for a day with the doctor"), "medicine": ("they need something from the doctor to take", "they ask for pills"),
    "pain": ("something hurts", "they feel bad"), "bill": ("they ask what it costs", "they ask how much must be paid"),
}  # fmt: skip
_DEEDS: dict[str, tuple[str, ...]] = {
    "question": ("they ask for something that they do not know", "an answer is expected", "information is wanted"),
    "request": ("they ask for a deed", "another person should act", "they give an order"),
    "thanks": ("somebody is thanked", "they are glad about help", "gratitude is shown"),
    "apology": ("they are sorry", "they did something wrong", "they ask to be forgiven"),
    "offer": ("they want to help", "they propose to do it", "help is promised"),
    "refusal": ("they say no", "they do not want to do it", "something is denied"),
    "greeting": ("they meet somebody", "somebody is welcomed", "they say good day"),
    "statement": ("something is told", "they inform somebody", "a fact is given"),
}
INTENT: Classes = {}
for _intents in (w.INTENTS[d] for d in ("music", "home", "calendar", "shopping", "clinic")):
    for _name, (_labels, _description, _) in _intents.items():
        INTENT[_name] = (_labels, (_description, *_WISHES[_name]))
for _intents in MORE_INTENTS.values():
    INTENT |= {_name: (_labels, (_description,)) for _name, (_labels, _description, _) in _intents.items()}
TOPIC: Classes = {
    name: (labels, (f"the text is about {labels[0]}", f"it deals with {labels[-1]}", f"it tells of a {agents[0]} or a {agents[1]}"))
    for name, (labels, agents, _) in w.TOPICS.items()
}  # fmt: skip
ACT: Classes = {name: (labels, (description, *_DEEDS[name])) for name, (labels, description, _) in w.ACTS.items()}
SAME: Classes = {
    "yes": (("same", "equal", "paraphrase", "equivalent", "match"), ("both sentences mean the same", "the second repeats the first in other words", "the two agree in all points")),
    "no": (("different", "unequal", "distinct", "changed", "mismatch"), ("the sentences differ in a point", "the second tells something else", "the two do not agree")),
}  # fmt: skip
SAME_POINT: Classes = {
    "yes": (SAME["yes"][0], ("it is the same in both", "they have it in common", "nothing was changed there")),
    "no": (SAME["no"][0], ("it is not the same in both", "they differ in it", "it was changed")),
}
RELATION: Classes = {
    "entailment": (("entailment", "follows", "supported", "implied", "true", "yes"), ("the second sentence follows from the first", "the claim must be true", "the first sentence supports the claim")),
    "contradiction": (("contradiction", "conflict", "refuted", "impossible", "false", "no"), ("the second sentence conflicts with the first", "the claim must be false", "the first sentence refutes the claim")),
    "neutral": (("neutral", "unknown", "unclear", "undecided", "maybe", "possible"), ("nobody can tell from the first sentence", "the claim may be true or false", "the first sentence does not say")),
}  # fmt: skip
CHANGED: Classes = {
    "person": (("person", "name", "who"), ("another person acts", "the name differs")),
    "place": (("place", "city", "where"), ("it happens in another city", "the place differs")),
    "day": (("day", "date", "when"), ("it happens on another day", "the day differs")),
    "action": (("action", "verb", "what"), ("something else is done", "the action differs")),
}
KIND: Classes = {
    "person": (("person", "name", "human"), ("it is a human being", "it is the name of a person")),
    "city": (("city", "place", "location", "town"), ("it is a place", "it is the name of a city")),
    "company": (("company", "firm", "organization"), ("it is a firm", "it is the name of a company")),
    "month": (("month", "date", "time"), ("it is a time", "it is the name of a month")),
}
SENSE: Classes = {
    "yes": (("plausible", "sensible", "possible", "likely", "normal"), ("the statement makes sense", "one can really do that", "the object serves this purpose")),
    "no": (("implausible", "absurd", "impossible", "unlikely", "strange"), ("the statement makes no sense", "nobody can do that", "the object has another purpose")),
}  # fmt: skip
CORRECT: Classes = {
    "yes": (("correct", "fine", "right", "grammatical", "acceptable"), ("the sentence has no mistake", "the grammar is right")),
    "no": (("incorrect", "broken", "wrong", "ungrammatical", "faulty"), ("the sentence has a mistake", "the grammar is wrong")),
}  # fmt: skip
ANSWERABLE: Classes = {
    "yes": (("answerable", "enough", "known", "yes"), ("the text tells the answer", "the question can be answered")),
    "no": (("unanswerable", "missing", "unknown", "no"), ("the text does not tell the answer", "the question cannot be answered")),
}  # fmt: skip
ORDER: Classes = {
    "first": (("first", "1", "one", "former"), ("it is the first one",)),
    "second": (("second", "2", "two", "latter"), ("it is the second one",)),
}
CAUSAL: Classes = {
    "yes": (("caused", "related", "logical", "yes"), ("the reason fits", "the one follows from the other")),
    "no": (("unrelated", "random", "illogical", "no"), ("the reason does not fit", "the one has nothing to do with the other")),
}  # fmt: skip
POSITION: Classes = {p: ((p, str(i)), (f"it stands in place {i}",)) for i, p in enumerate(("first", "second", "third", "fourth"), 1)}  # fmt: skip
WEIGHT: Classes = {
    "heavy": (("heavy", "hard"), ("nobody can lift it alone", "it is heavy")),
    "light": (("light", "easy"), ("a child can carry it", "it weighs little")),
}
GENDER: Classes = {
    "she": (("female", "woman", "she"), ("a woman acts", "the person is female")),
    "he": (("male", "man", "he"), ("a man acts", "the person is male")),
}
MISTAKE: Classes = {
    "article": (("article", "a"), ("the article is wrong",)),
    "verb": (("verb", "agreement"), ("the verb has the wrong form",)),
    "repetition": (("repetition", "double"), ("a word stands there twice",)),
    "order": (("order", "position"), ("the words stand in the wrong order",)),
}

_qa = "{text} Question: {question}"
_two = "Sentence 1: {text} Sentence 2: {second}"
_nli = "Premise: {text} Hypothesis: {hypothesis}"
FEATURES: tuple[Feature, ...] = (
    Feature("review", "Sentiment Analysis", "overall", REVIEWS, ("decide how the writer feels overall", "classify the general opinion", "judge the final verdict", "tell the sentiment of the whole text", "find out whether the customer is content"), classes=POLARITY, weight=2.5, late=1.5),
    Feature("review", "Sentiment Analysis", "opinion", tuple(r + " and one aspect of it" for r in REVIEWS), ("decide what is said about the aspect", "classify the opinion on the named aspect", "judge the sentiment for this aspect only"), "{text} Aspect: {aspect}", ASPECT, weight=2, late=2),
    Feature("review", "Information Extraction", "liked", REVIEWS, ("name the thing that the writer liked", "write down what is praised", "find the good part"), weight=1.2, late=2),
    Feature("review", "Information Extraction", "disliked", REVIEWS, ("name the thing that the writer did not like", "write down what is criticised", "find the bad part"), weight=1.2, late=2),
    Feature("review", "Information Extraction", "said", tuple(r + " and one aspect of it" for r in REVIEWS), ("write the word that judges the aspect", "copy what is said about the aspect", "tell how the aspect is called"), "{text} Aspect: {aspect}", weight=1.5, late=2),
    Feature("review", "Information Extraction", "aspect", tuple(r + " and a word from it" for r in REVIEWS), ("write the thing that the word judges", "tell what the word is about", "name the thing that is called so"), "{text} Word: {said}", weight=1.2, late=2),
    Feature("utterance", "Intent Identification", "intent", MESSAGES, ("detect what the user wants", "identify the intent", "find the purpose of the message", "tell which service is needed", "classify the wish"), classes=INTENT, weight=3, late=2),
    *(
        Feature("utterance", "Information Extraction", key, MESSAGES, tuple(f"{verb} {what}" for verb in ("extract", "write", "find", "copy", "fill the slot with") for what in whats), weight=0.6)
        for key, whats in {"city": ("the city", "the place", "the destination"), "day": ("the day", "the date", "the weekday"), "person": ("the name", "the person", "who is mentioned"), "number": ("the number", "how many are wanted", "the quantity"), "colour": ("the colour", "which colour is named"), "room": ("the room", "where it should happen"), "amount": ("the amount", "the sum of money")}.items()
    ),
    Feature("news", "Text Categorization", "topic", ("a news text", "an article", "a piece of text", "a short report", "some lines"), ("classify the main topic", "find the subject", "choose the category", "sort the text by its main story", "tell what it is mainly about"), classes=TOPIC, weight=3),
    Feature("news", "Text Categorization", "aside", ("a news text", "an article", "a text with a side remark"), ("classify the remark made in passing", "find the topic of the side note", "tell the less important subject"), classes=TOPIC, weight=1.2),
    Feature("use", "Commonsense Classification", "sensible", ("a statement about an object", "a sentence about daily life", "a claim about a thing"), ("decide whether it makes sense", "judge whether the statement is plausible", "check it with common sense"), classes=SENSE, weight=2),
    Feature("use", "Question Answering", "object", ("a question with two options", "a purpose and two things", "two objects and a goal"), ("choose the object that fits", "pick the right option", "select the thing that one needs"), "What can {purpose}? Options: {option 1}, {option 2}", weight=1.5),
    Feature("use", "Question Answering", "choice", ("a question with two options", "a purpose and two things"), ("tell which option fits", "tell which one of the two is right"), "What can {purpose}? 1: {option 1} 2: {option 2}", ORDER, weight=1.2),
    *(
        Feature("use", "Question Answering", key, ("somebody with a plan and two things", "a plan and two options"), asks, frame, classes, weight=0.8)
        for key, asks, frame, classes in (
            ("object", ("choose what helps", "pick what is needed"), "{person} needs something to {purpose}. Options: {option 1}, {option 2}", {}),
            ("object", ("choose what helps", "pick what is needed"), "To {purpose}, does {person} take the {option 1} or the {option 2}?", {}),
            ("choice", ("tell which one helps", "say which one is needed"), "{person} needs something to {purpose}. 1: {option 1} 2: {option 2}", ORDER),
            ("choice", ("tell which one helps", "say which one is needed"), "To {purpose}, does {person} take the {option 1} or the {option 2}?", ORDER),
        )
    ),
    Feature("use", "Question Answering", "weight", ("the name of a thing", "an object"), ("tell whether it is heavy or light", "judge its weight"), "{object}", WEIGHT, weight=0.2),
    Feature("use", "Question Answering", "purpose", ("the name of a thing", "an object"), ("tell what it is used for", "name its purpose"), "{object}", weight=0.3),
    Feature("pair", "Text Matching", "same", PAIRS, ("decide whether they mean the same", "judge whether one is a paraphrase of the other", "compare their meaning", "find out if they tell the same event"), _two, SAME, weight=3.5, late=2),
    Feature("pair", "Text Matching", "changed", PAIRS, ("find what differs", "name the kind of difference", "tell which detail was changed"), _two, CHANGED, weight=1.5, late=2),
    *(
        Feature("pair", "Text Matching", f"same {point}", PAIRS, (f"compare the {name}", f"tell whether the {name} is the same", f"decide if both have one {name}"), _two, SAME_POINT, weight=0.6, late=2)
        for point, name in (("person", "person"), ("place", "city"), ("day", "day"), ("action", "deed"))
    ),
    Feature("pair", "Information Extraction", "new", PAIRS, ("write the word of the second sentence that changes the meaning", "name what is new in the second sentence", "copy the changed word"), _two, weight=1, late=2),
    Feature("pair", "Information Extraction", "former", PAIRS, ("write the word of the first sentence that was changed", "name what stood there before", "copy the word that is gone"), _two, weight=0.5, late=2),
    Feature("entailment", "Textual Entailment", "relation", ("a premise and a hypothesis", "a sentence and a claim", "two sentences", "a fact and a guess"), ("decide whether the second follows from the first", "judge the claim by the premise", "classify their logical relation", "check the guess"), _nli, RELATION, weight=3.5),
    *(
        Feature("entities", "Named Entity Recognition", key, ("a news sentence", "a sentence", "a line of a report"), tuple(f"{verb} {what}" for verb in ("find", "extract", "write down", "give") for what in whats), weight=0.6)
        for key, whats in {"person": ("the name of the person", "the human being"), "city": ("the name of the city", "the place"), "company": ("the company", "the name of the firm"), "month": ("the month", "the time")}.items()
    ),
    Feature("entities", "Named Entity Recognition", "kind", ("a sentence with a word in brackets", "a text in which a name is marked"), ("tell the type of the name in brackets", "classify the marked word", "label the entity"), classes=KIND, domains="marked", weight=1.5),
    Feature("story", "Question Answering", "answer", STORIES, ("answer the question with a word of the text", "find the answer in the passage", "give the short answer"), _qa, weight=3.5),
    Feature("story", "Question Answering", "full", STORIES, ("answer the question with a full sentence", "give the answer as a complete sentence", "write a whole sentence that answers it"), _qa, weight=1.5),
    Feature("story", "Question Understanding", "kind", STORIES, ("tell what the question asks for", "classify the question word"), _qa, {"who": (("person", "who", "human"), ("it asks for a person",)), "where": (("place", "where", "location"), ("it asks for a place",)), "when": (("time", "when", "date"), ("it asks for a time",)), "what": (("thing", "what", "object"), ("it asks for a thing",))}, weight=0.8),
    Feature("story", "Answerability Classification", "answerable", STORIES, ("decide whether the text answers the question", "check if the question can be answered", "tell whether there is enough information"), "{text} Question: {maybe}", ANSWERABLE, weight=2),
    *(
        Feature("story", "Information Extraction", key, ("a passage", "a text of two sentences"), (f"name the {key}", f"find the {key} that is mentioned", f"write the {key}"), weight=0.25)
        for key in ("first person", "second person", "first city", "second city")
    ),
    Feature("turn", "Dialogue Act Recognition", "act", ("a turn of a conversation", "what a speaker says", "a line of a dialogue", "an utterance"), ("name the act", "tell what the speaker does", "classify the type of the utterance", "find the function of the turn"), classes=ACT, weight=2.5),
    Feature("slip", "Grammar Error Correction", "right", ("a sentence with a mistake", "a faulty sentence", "a line with an error"), ("correct the grammar", "write the sentence without the mistake", "repair the sentence"), weight=2),
    Feature("slip", "Grammar Error Detection", "correct", ("a sentence", "a line of text"), ("decide whether the grammar is right", "check the sentence for mistakes", "judge whether the sentence is well formed"), "{maybe}", CORRECT, weight=1.5),
    Feature("slip", "Grammar Error Detection", "kind", ("a sentence with a mistake", "a faulty sentence"), ("name the kind of mistake", "classify the error"), classes=MISTAKE, weight=0.7),
    Feature("table", "Data to Text", "told", ("a record", "a list of fields", "some data", "a table row"), ("write it as a sentence", "tell the data in words", "turn the fields into a sentence"), weight=1.5),
    Feature("table", "Information Extraction", "value", ("a record and a field", "some data and a key"), ("give the value of the field", "look the key up in the record"), "{text} Field: {key}", weight=1.2),
    Feature("consequence", "Cause Effect Classification", "cause", ("two events", "two clauses with numbers"), ("tell which one is the cause", "find the event that came first", "name the reason"), classes=ORDER, weight=1),
    Feature("consequence", "Cause Effect Classification", "related", ("an event with a reason", "two linked events"), ("judge whether the reason fits", "decide whether the link is logical"), "{claim}", CAUSAL, weight=1.5),
    Feature("pronoun", "Coreference Resolution", "meant", ("a sentence and a question", "a text with a pronoun"), ("name the person that the pronoun stands for", "tell who is meant", "resolve the pronoun"), "{text} {question}", weight=1.5),
    Feature("pronoun", "Gender Classification", "pronoun", ("a sentence about two people", "a text"), ("tell whether a man or a woman acted last", "classify the person meant"), classes=GENDER, weight=0.7),
    Feature("odd", "Word Semantics", "odd", ("four words", "a list of words"), ("find the word that does not belong", "name the odd one out", "write the word of another kind"), weight=1.8),
    Feature("odd", "Word Semantics", "kind", ("four words", "a list of words"), ("name the kind of most words", "tell what most of the words are"), classes={k: ((k,), (f"most of them are of the kind {k}",)) for k in w.KINDS}, weight=0.8),
    Feature("odd", "Word Semantics", "first", ("four words", "a list of words"), ("copy the first word", "write only the word at the start"), weight=0.3),
    Feature("odd", "Word Semantics", "last", ("four words", "a list of words"), ("copy the last word", "write only the word at the end"), weight=0.3),
    Feature("odd", "Word Semantics", "position", ("four words", "a list of words"), ("tell the place of the word that does not belong",), classes=POSITION, weight=0.3),
)  # fmt: skip
