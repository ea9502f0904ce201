# ruff: noqa: E501 (tables of wordings)
"""Definitions as people write them: who writes to whom, what is asked in a sentence, what does not count, labels by the way.

The second half of the pre-training of ``tiny`` reads these beside the plain ones of ``tiny_wording``.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from snibench.data.mini.grammar import sentence
from tiny_pretraining.asks import composed
from tiny_pretraining.wording import CLAUSE, LIST, demand, listing, padding

SETTINGS = {
    "review": ("Buyers write what they think.", "A client has tried something and tells others.", "Here a customer gives an opinion.", "Comments like this one stand on many pages.", "Somebody paid for something and now judges it.", "The words of a visitor follow.", "People praise one thing and blame another."),
    "utterance": ("A user talks to a machine.", "People call and say what they need.", "A customer sends a few words.", "Somebody turns to the service with a wish.", "The message comes from a phone.", "A client speaks and a clerk must act.", "Each message has one purpose."),
    "news": ("An editor sorts short texts.", "The text has a main story and a remark.", "Somebody tells what happened.", "Lines like these stand in a newspaper.", "Two things are told, one of them only in passing.", "A reader wants to find the right page."),
    "use": ("Things are made for a purpose.", "Think of what people do every day.", "Somebody wants to do something and looks for a tool.", "A child asks what things are for.", "Some of these statements are nonsense.", "Use what everybody knows."),
    "pair": ("Two people tell what happened.", "The same thing can be said in two ways.", "A text was copied and perhaps changed.", "Two notes lie side by side.", "One sentence stands after the other.", "Look at names, places, days and deeds."),
    "entailment": ("One sentence is known to be right.", "Somebody claims something.", "A guess is made about a fact.", "The first sentence is the evidence.", "A judge has a report and a statement.", "What we know comes first, what is claimed comes second."),
    "entities": ("A reporter names people, places and firms.", "The line is taken from a newspaper.", "Several names stand in the text.", "A clerk keeps a list of names.", "The sentence tells of a firm and somebody who works there."),
    "story": ("Two things happened.", "Somebody did something, and somebody else did another thing.", "A short report is followed by a question.", "The facts stand in the text.", "A reader wants to know a detail.", "Look for the right one of the two sentences."),
    "turn": ("Two people talk.", "Somebody says something to somebody else.", "This is a line from a conversation.", "Every speaker does something by speaking.", "Words are deeds, too.", "We study how people talk with each other."),
    "slip": ("A learner wrote this.", "Not every sentence is well written.", "A text must be read once more before it is printed.", "Machines make mistakes when they write.", "A teacher looks at a line of a pupil.", "The sentence may have gone wrong in one place."),
    "table": ("The data are kept in fields.", "A row of a table follows.", "A computer has stored this.", "Fields and values stand side by side.", "Somebody filled in a form."),
    "consequence": ("One thing leads to another.", "Events have reasons.", "Something happened and something else came of it.", "Think about what brings about what.", "A claim about a reason is made."),
    "pronoun": ("A woman and a man are named.", "Short words stand for names.", "Two people appear in the sentence.", "One of the two does something later."),
    "odd": ("Four words stand in a row.", "Some words belong together.", "Words name things of several kinds.", "One of the words does not fit."),
}  # fmt: skip

ASKED = {
    ("review", "overall"): ("How does the writer feel in the end?", "Is the customer satisfied, all in all?", "Judge the whole, not the parts.", "What is the verdict?", "Which feeling is left at the end?", "Tell the mood of the customer after all."),
    ("review", "opinion"): ("What does the writer think of the named aspect?", "Look only at the aspect behind the text.", "Is the aspect praised or blamed?", "Judge the aspect, whatever else is said.", "How did the customer find this part?"),
    ("review", "liked"): ("What did the writer like?", "Which thing is praised?", "Copy the name of the good thing.", "One thing was good: which?", "Say what pleased the customer."),
    ("review", "disliked"): ("What did the writer not like?", "Which thing is criticised?", "Copy the name of the bad thing.", "One thing was bad: which?", "Say what annoyed the customer."),
    ("review", "said"): ("Which word judges the aspect?", "How does the writer call this part?", "Copy the word that praises or blames the aspect."),
    ("review", "aspect"): ("Which thing is called so?", "What does the word behind the text judge?", "Copy the thing that the word is about."),
    ("utterance", "intent"): ("What does the person want?", "Which service is meant?", "Find the intent behind the words.", "Sort the message by its purpose.", "What should be done for the customer?", "Label the message."),
    ("utterance", "city"): ("Which city is mentioned?", "Fill the slot for the city.", "Where is it, or where does it go?", "Name the place.", "The name of a town is wanted.", "From the words, take the city."),
    ("utterance", "day"): ("Which day is mentioned?", "Fill the slot for the day.", "When should it be?", "The day of the week is wanted.", "From the words, take the day.", "On which day will it happen?"),
    ("utterance", "person"): ("Who is mentioned?", "Fill the slot for the name.", "Whose name is in the message?", "The name of a person is wanted.", "From the words, take the name."),
    ("utterance", "number"): ("How many are wanted?", "Fill the slot for the number.", "Which number is mentioned?", "The number is wanted, as a word.", "From the words, take the number."),
    ("utterance", "colour"): ("Which colour is mentioned?", "Fill the slot for the colour.", "What colour does it have?", "The colour is wanted.", "From the words, take the colour."),
    ("utterance", "room"): ("Which room is mentioned?", "Fill the slot for the room.", "Where in the house should it happen?", "The room is wanted.", "From the words, take the room."),
    ("utterance", "amount"): ("How much money is it?", "Fill the slot for the amount.", "Which sum is mentioned?", "The sum is wanted, in digits.", "From the words, take the amount."),
    ("news", "topic"): ("What is the text mainly about?", "Classify the main story, not the remark.", "To which page does the main story belong?", "Find the subject of the larger part.", "Which field is the real story from?", "Name the topic that counts."),
    ("news", "aside"): ("What is the remark about?", "Classify the remark, not the main story.", "Something is said by the way: what is its subject?", "Find the topic of the smaller part.", "Which other field is touched in passing?"),
    ("use", "sensible"): ("Could that be true in daily life?", "Does it make sense?", "Would anybody use the thing in this way?", "Is that what the thing is made for?", "Check the statement by what everybody knows."),
    ("use", "object"): ("Which of the two things serves the purpose?", "Take the right thing from the options.", "What would you use?", "One of the two things helps: write its name.", "Which thing does one need for that?"),
    ("use", "choice"): ("Which option is right, the first or the second?", "Give the number of the right thing.", "Is it the one or the other?"),
    ("use", "weight"): ("Could you carry it easily?", "How much does it weigh?"),
    ("use", "purpose"): ("What is it made for?", "What do people do with it?"),
    ("pair", "same"): ("Do both sentences say the same?", "Is it one event or are there two?", "Compare who, what, where and when.", "Does the second sentence change anything?", "Other words may be used, but is the meaning kept?", "Do the two agree?"),
    ("pair", "changed"): ("What was changed?", "In which point do they differ?", "Find the detail that is new in the second sentence.", "Name the point in which the two do not agree."),
    ("pair", "same person"): ("Is it the same person?", "Does the same person act in both?"),
    ("pair", "same place"): ("Is it the same city?", "Do both happen in one place?"),
    ("pair", "same day"): ("Is it the same day?", "Do both happen on one day?"),
    ("pair", "same action"): ("Is the same done in both?", "Do both verbs mean one deed?"),
    ("pair", "new"): ("Which word is new in the second sentence?", "What does the second sentence say instead?", "Copy the word that makes the difference."),
    ("pair", "former"): ("Which word was replaced?", "What did the first sentence say instead?"),
    ("entailment", "relation"): ("Is the second sentence right if the first one is?", "Check the claim against the evidence.", "What does the first sentence say about the second?", "Can both be right?", "Is the guess true?", "Must we believe the claim?"),
    ("entities", "person"): ("Who is named?", "Which human being appears in the sentence?", "Find the person.", "The name of a man or a woman is wanted.", "Neither a firm nor a place is wanted, but a person."),
    ("entities", "city"): ("Which city is named?", "In which place does it happen?", "Find the city.", "The name of a town is wanted.", "Neither a firm nor a person is wanted, but a place."),
    ("entities", "company"): ("Which firm is named?", "For which company does somebody work?", "Find the company.", "The name of a firm is wanted.", "Neither a place nor a person is wanted, but a firm."),
    ("entities", "month"): ("Which month is named?", "When does it happen?", "Find the month.", "A time is wanted."),
    ("entities", "kind"): ("What kind of name stands in brackets?", "What does the marked name denote?", "Look at the brackets: of which type is the name in them?", "Of what sort is the marked word?"),
    ("story", "answer"): ("Answer in one word.", "What is the answer?", "Look it up in the text.", "Give the detail that is asked for.", "Which word of the text answers the question?", "Reply as shortly as possible."),
    ("story", "full"): ("Answer in a whole sentence.", "One word is too short here: write a sentence.", "Reply with a complete sentence that begins with the name.", "Tell it in a sentence and add nothing that was not asked for.", "Make a sentence of the answer."),
    ("story", "kind"): ("What does one want to know?", "Is it asked for a person, a place or a time?"),
    ("story", "answerable"): ("Does the text tell it?", "Can one answer from the text alone?", "Is the answer there at all?", "Would a reader of the text know the answer?"),
    ("story", "first person"): ("Who acts in the first sentence?",),
    ("story", "second person"): ("Who acts in the second sentence?",),
    ("story", "first city"): ("Where is the first sentence set?",),
    ("story", "second city"): ("Where is the second sentence set?",),
    ("turn", "act"): ("What does the speaker do?", "Which act is it?", "Name what the words are meant for.", "Why does the speaker say this?", "Pick the type of the turn.", "Classify the line."),
    ("slip", "right"): ("Write the sentence as it should be.", "Put the mistake right and leave the rest alone.", "How would a good writer say it?", "Give the whole sentence without its error.", "Mend the language of the line."),
    ("slip", "correct"): ("Is there anything wrong with the language?", "May the sentence be printed like this?", "Does it follow the rules of grammar?", "Must somebody correct it?"),
    ("slip", "kind"): ("What went wrong?", "Which rule is broken?"),
    ("table", "told"): ("Tell the whole row in one sentence.", "Make a sentence of the fields.", "Say what the data mean, in a sentence.", "Write for a reader who does not see the table."),
    ("table", "value"): ("What stands in the named field?", "Look at the field behind the data and give its value."),
    ("consequence", "cause"): ("Which one is the reason?", "Which of the two events brought the other?", "What came first, so that the other could follow?"),
    ("consequence", "related"): ("Could it be the reason?", "Does the one really follow from the other?", "Would that happen for this reason?", "Do the two parts belong together?"),
    ("pronoun", "meant"): ("Who is meant?", "Which of the two people is it?", "The question is about one of them: which one?", "Find the name behind the short word."),
    ("pronoun", "pronoun"): ("Is it the woman or the man who acts in the end?", "Who acts last, she or he?"),
    ("odd", "odd"): ("Which word is the odd one?", "One word is a stranger: write it.", "Three are of one kind and one is not: which?", "Find the one that should not be there."),
    ("odd", "kind"): ("Of which kind are most of them?", "What do three of them have in common?"),
    ("odd", "first"): ("Which word comes first?",),
    ("odd", "last"): ("Which word comes last?",),
    ("odd", "position"): ("In which place is the odd word?",),
}  # fmt: skip

_COUNTS = ("Whatever else is said does not count.", "The rest is not important.", "Do not be misled by other words.", "Everything else may be ignored.", "Only that matters.", "Think before you answer.", "There is always one right answer.")  # fmt: skip
_COPY = ("One word is enough.", "Copy it as it stands in the text.", "Write nothing else.", "Add no other word.", "Take it from the text.", "The output is a single word.", "Leave out everything else.", "Give it without any other words.")  # fmt: skip
_JOINED = ("Answer {}.", "Write {}.", "Say {}.", "The output is {}.", "Reply {}.", "Output {}.", "It is {}.", "We call it {}.", "Label it {}.", "Choose {}.")  # fmt: skip
_ONE = ("{} if {}", "{} if {}", "{} when {}", "{}, which means that {}", "{} where {}")


def asked_for(rng: Random, family: str, key: str, closed: bool) -> str:
    """One of the sentences above, or a composed one."""
    return rng.choice(ASKED[family, key]) if rng.random() < 0.45 else composed(rng, family, key, closed)


def prose(
    rng: Random, family: str, key: str, inputs: str, labels: Sequence[str], whats: Sequence[str], clauses: bool
) -> str:
    """A definition of two to five sentences; ``clauses`` = what the first label means must be told."""
    parts = [rng.choice(SETTINGS[family])] if rng.random() < 0.75 else []
    if rng.random() < 0.4:
        parts.append(rng.choice(("You get {}.", "The input is {}.", "In this task you see {}.")).format(inputs))
    if not (labels and clauses and rng.random() < 0.4):
        parts.append(demand(rng, asked_for(rng, family, key, bool(labels))))
    rest = [rng.choice(_COUNTS)] if rng.random() < 0.3 else []
    if not labels:
        if key not in ("full", "right", "told", "purpose") and rng.random() < 0.6:
            rest.append(rng.choice(_COPY))
    elif clauses or rng.random() < 0.5:
        parts.append(_meanings(rng, labels, whats))
    else:
        listed = listing(rng, rng.sample(list(labels), len(labels)))
        parts.append(
            rng.choice((*LIST, "Is it {}?", "{}?", "The choice is {}.", "One of these is right: {}.")).format(listed)
        )
        parts[-1] = sentence(parts[-1]) if rng.random() < 0.5 else parts[-1]
    if rng.random() < 0.2:
        rest.append(padding(rng))
    for one in rest:
        parts.insert(rng.randint(0, len(parts)), one)
    return " ".join(parts)


def _meanings(rng: Random, labels: Sequence[str], whats: Sequence[str]) -> str:
    """What each label means, in one sentence or several."""
    pairs = rng.sample(list(zip(labels, whats, strict=True)), len(labels))
    if rng.random() < 0.3:
        return " ".join(rng.choice(CLAUSE).format(label=label, what=what) for label, what in pairs)
    shape = rng.choice(_ONE)
    told = [shape.format(*pair) for pair in pairs]
    if len(told) == 2 and rng.random() < 0.5:
        other = rng.choice((", otherwise {}", ", else {}", " and {} if not", ", and {} in all other cases"))
        return rng.choice(_JOINED).format(told[0] + other.format(pairs[1][0]))
    return rng.choice(_JOINED).format(", ".join(told[:-1]) + rng.choice((" and ", ", and ", ", ")) + told[-1])
