# ruff: noqa: E501 (definitions stand on one line each, as they are read)
"""The tasks of suite ``mini``: fixed views of the families, each with a definition written by hand.

Tasks of one family differ in domain, label words, polarity or in what is asked, so that the input alone does not
tell the answer. No seen task shares a source, which is a family in a domain, with an unseen one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from snibench.base.hashing import normalise_input
from snibench.base.types import Example, Instance, Task
from snibench.data.mini.grammar import FAMILIES
from snibench.data.natural_instructions import make_task

INSTANCES = 300


@dataclass(frozen=True, slots=True)
class View:
    """One task: what is asked (``key``) of one family in one domain, and how it is put.

    ``labels`` maps a meaning to its word; meanings without a word are not drawn. None = the meaning is the answer.
    ``because`` explains an answer in the words of the meaning; ``wrong`` is the meaning that a bad answer gives.
    """

    name: str
    seen: bool
    family: str
    domain: str
    key: str
    category: str
    field: str  # the domain, in the words of Super-NaturalInstructions
    definition: str
    because: str
    labels: Mapping[str, str] | None = None
    frame: str = "{text}"
    wrong: str = ""
    only: tuple[str, str] | None = None  # a key and the value that it must have


Drawn = tuple[str, str, Mapping[str, str]]  # input, output, meaning


def build(view: View) -> Task:
    """The task of ``view``: balanced labels, no input twice, examples that are not among the instances."""
    draw = FAMILIES[view.family].draw
    rng = Random(f"mini {view.name}")
    words = tuple(dict.fromkeys(view.labels.values())) if view.labels else ()
    wanted = INSTANCES + 3 * max(1, len(words))
    left = Counter({word: -(-wanted // len(words)) for word in words})
    drawn: dict[str, Drawn] = {}
    for _ in range(100 * wanted):
        if len(drawn) == wanted:
            break
        found = draw(rng, view.domain)
        meaning = found.meaning
        value = meaning.get(view.key)
        if value is None or (view.only and meaning[view.only[0]] != view.only[1]):
            continue
        if view.labels:
            answer = view.labels.get(value, "")
            if not left[answer]:
                continue
        else:
            answer = value
        text = view.frame.format(text=found.text, **meaning)
        if (reading := normalise_input(text)) not in drawn:
            drawn[reading] = (text, answer, meaning)
            left[answer] -= 1
    rows = list(drawn.values())
    examples = _examples(rows)
    chosen = {text for text, _, _ in examples}
    rest = [(text, answer) for text, answer, _ in rows if text not in chosen]
    rng.shuffle(rest)
    good, bad = examples[:2], examples[2]
    return make_task(
        view.name,
        definition=view.definition,
        positive=tuple(Example(text, answer, _because(view, meaning)) for text, answer, meaning in good),
        negative=(_negative(view, *bad, rows),),
        category=view.category,
        domains=(view.field,),
        sources=(f"mini {view.family} {view.domain}",),
        instances=tuple(
            Instance(f"{view.name}-{i:03d}", text, (answer,)) for i, (text, answer) in enumerate(rest[:INSTANCES])
        ),
    )


def _examples(rows: list[Drawn]) -> list[Drawn]:
    """Three rows, the first two of different answers."""
    first = rows[0]
    second = next(row for row in rows if row[1] != first[1])
    third = next(row for row in rows if row[0] not in (first[0], second[0]))
    return [first, second, third]


def _because(view: View, meaning: Mapping[str, str]) -> str:
    return view.because.format(**meaning)


def _negative(view: View, text: str, answer: str, meaning: Mapping[str, str], rows: list[Drawn]) -> Example:
    output = {"text": text, **meaning}[view.wrong] if view.wrong else next(a for _, a, _ in rows if a != answer)
    return Example(text, output, f"This is wrong, the output should be {answer}. {_because(view, meaning)}")


def _same(*values: str) -> dict[str, str]:
    return {value: value for value in values}


_QA = "{text} Question: {question}"
_PAIR = "Sentence 1: {text} Sentence 2: {second}"
_NLI = "Premise: {text} Hypothesis: {hypothesis}"

VIEWS: tuple[View, ...] = (
    # ----------------------------------------------------------------------- sentiment
    View("mini101_restaurant_verdict", True, "review", "restaurant", "overall", "Sentiment Analysis", "Reviews",
        "In this task, you are given a review of a restaurant. Decide how the guest feels about the visit as a whole. Answer positive if the guest is happy, negative if the guest is angry, and neutral if there is no clear opinion.",
        "Taken together, the guest's verdict is {overall}.", _same("positive", "negative", "neutral")),
    View("mini102_restaurant_aspect", True, "review", "restaurant", "opinion", "Sentiment Analysis", "Reviews",
        "You will read what a guest wrote about a restaurant, followed by one aspect of the visit. Judge only what is said about this aspect, not the whole text. The output is good or bad.",
        "The guest's opinion on the {aspect} is {opinion}.", {"positive": "good", "negative": "bad"}, "{text} Aspect: {aspect}"),
    View("mini103_hotel_pleased", True, "review", "hotel", "overall", "Sentiment Analysis", "Reviews",
        "A traveller writes about a hotel. Is the traveller pleased with the stay, all in all? Answer Yes or No. Single complaints do not matter, the final verdict does.",
        "The verdict on the hotel is {overall}.", {"positive": "Yes", "negative": "No"}),
    View("mini104_hotel_complaint", True, "review", "hotel", "disliked", "Information Extraction", "Reviews",
        "The input is a review of a hotel that praises one thing and criticises another. Write down the thing that the guest did not like, as one word, exactly as it is named in the review.",
        "The guest criticises the {disliked} and praises the {liked}.", wrong="liked"),
    View("mini151_airline_mood", False, "review", "airline", "overall", "Sentiment Analysis", "Travel Reviews",
        "Passengers were asked about their last flight. From the passenger's words, find the mood after the journey: happy for somebody who would fly again, unhappy for somebody who would not.",
        "The passenger's verdict is {overall}.", {"positive": "happy", "negative": "unhappy"}),
    View("mini152_gym_aspect", False, "review", "gym", "opinion", "Sentiment Analysis", "Sports Reviews",
        "A member has written about a gym. One part of the gym is named at the end. Is the member's view of that part positive or negative? Ignore what is said about anything else.",
        "About the {aspect} the member's view is {opinion}.", _same("positive", "negative"), "{text} Aspect: {aspect}"),
    View("mini153_gym_warning", False, "review", "gym", "overall", "Sentiment Analysis", "Sports Reviews",
        "Members of a gym leave comments. We look for comments that warn other people. Answer yes if the writer is angry with the gym in the end, and no if the writer is happy with it.",
        "The final verdict on the gym is {overall}.", {"negative": "yes", "positive": "no"}),
    View("mini154_airline_praise", False, "review", "airline", "liked", "Information Extraction", "Travel Reviews",
        "Given the comment of a passenger on a flight, name what was good. Only one thing is praised in each comment. Copy its name from the text and add nothing.",
        "The passenger praises the {liked}, not the {disliked}.", wrong="disliked"),
    # -------------------------------------------------------------------------- intent
    View("mini201_travel_intent", True, "utterance", "travel", "intent", "Intent Identification", "Dialogue",
        "In this task, you are given what a person says to a travel agent. Find the intent: book for a new trip, cancel for a trip that is given up, change for another date, price for a question about money.",
        "The intent of the person is to {intent}.", _same("book", "cancel", "change", "price")),
    View("mini202_bank_intent", True, "utterance", "bank", "intent", "Intent Identification", "Dialogue",
        "A customer talks to a bank. Choose the service that the customer needs: transfer sends money to somebody, balance tells what is left, block stops a stolen card, and loan lends money.",
        "The customer needs the service {intent}.", _same("transfer", "balance", "block", "loan")),
    View("mini251_delivery_intent", False, "utterance", "delivery", "intent", "Intent Identification", "Dialogue",
        "Hungry people write to a delivery service. Label each message: order if they want food, track if they ask where the food is, complaint if something was wrong, menu if they ask what can be had.",
        "The message is of the type {intent}.", _same("order", "track", "complaint", "menu")),
    View("mini252_library_extend", False, "utterance", "library", "intent", "Intent Identification", "Dialogue",
        "Readers ask the desk of a library for many things. Does this reader want more time for a book that is already at home? Reply Yes for that wish and No for any other.",
        "What the reader asks for is called {intent}.", {"extend": "Yes", "borrow": "No", "fine": "No", "hours": "No"}),
    # ---------------------------------------------------------------------------- slots
    View("mini301_travel_city", True, "utterance", "travel", "city", "Information Extraction", "Dialogue",
        "You are given a request to a travel agent. Fill the slot for the destination: write the name of the city to which the person wants to travel, and nothing else.",
        "The city in the request is {city}.", wrong="day"),
    View("mini302_travel_day", True, "utterance", "travel", "day", "Information Extraction", "Dialogue",
        "A person talks to a travel agent about a trip. Extract the day of the week on which the trip should take place. The output is a single word.",
        "The day in the request is {day}.", wrong="city"),
    View("mini303_bank_amount", True, "utterance", "bank", "amount", "Information Extraction", "Dialogue",
        "The input is a message to a bank that mentions a sum of money. Find the sum and write it as a number, without the currency and without any other word.",
        "The message speaks of {amount} dollars."),
    View("mini351_delivery_dish", False, "utterance", "delivery", "dish", "Information Extraction", "Dialogue",
        "People order meals or ask for them by message. Which dish does the message mention? Give the word for the dish as it stands in the message and leave out numbers and names.",
        "The dish in this message is {dish}."),
    View("mini352_library_colour", False, "utterance", "library", "colour", "Information Extraction", "Dialogue",
        "A reader speaks to the librarian and describes a book. From the reader's words, extract the colour of the book. One word is enough.",
        "The reader says that the book is {colour}."),
    # ---------------------------------------------------------------------------- topic
    View("mini401_headline_topic", True, "news", "headline", "topic", "Text Categorization", "News",
        "In this task, you are given a headline that tells a main story and mentions a second one. Classify the main story. The categories are sports, politics, science and business.",
        "The main story is about {topic}; {aside} is only mentioned.", _same("sports", "politics", "science", "business"), wrong="aside"),
    View("mini402_diary_topic", True, "news", "diary", "topic", "Text Categorization", "Personal Narratives",
        "Somebody keeps a diary. Tell which of the following subjects the entry is mainly about: food, travel, weather or music. What happens meanwhile, elsewhere, is not important.",
        "The entry deals mainly with {topic}, and {aside} is a side remark.", _same("food", "travel", "weather", "music"), wrong="aside"),
    View("mini403_diary_aside", True, "news", "diary", "aside", "Text Categorization", "Personal Narratives",
        "You will see an entry from a diary. It ends with a remark on something that happened meanwhile. Find the topic of this remark, not of the rest: sports, health, crime or technology.",
        "The remark at the end is about {aside}.", _same("sports", "health", "crime", "technology"), wrong="topic"),
    View("mini451_radio_topic", False, "news", "radio", "topic", "Text Categorization", "News",
        "The text was spoken on the radio. It opens with something less important before the real news come. Assign the real news to one of these sections: crime, education, technology, health.",
        "The real news belong to {topic}.", _same("crime", "education", "technology", "health"), wrong="aside"),
    View("mini452_radio_business", False, "news", "radio", "topic", "Text Categorization", "News",
        "Listeners want to hear about the economy. Given a piece of radio news, say true if its main part is about business and false if its main part is about another topic.",
        "The main part of the news is about {topic}.", {"business": "true", "politics": "false", "crime": "false", "science": "false"}),
    View("mini453_letter_aside", False, "news", "letter", "aside", "Text Categorization", "Personal Narratives",
        "Friends write letters to each other. The last sentence of the letter, after the words by the way, changes the subject. To which does it turn: food, politics, weather or education?",
        "By the way, the friend mentions {aside}.", _same("food", "politics", "weather", "education"), wrong="topic"),
    # ---------------------------------------------------------------------- commonsense
    View("mini501_kitchen_plausible", True, "use", "kitchen", "sensible", "Commonsense Classification", "Commonsense",
        "You are given a sentence about something in a kitchen. Use common sense: if the thing can really be used in this way, answer Yes. If it makes no sense, answer No.",
        "One uses the {object} to {purpose}.", {"yes": "Yes", "no": "No"}),
    View("mini502_kitchen_option", True, "use", "kitchen", "choice", "Commonsense Classification", "Commonsense",
        "The input asks for a thing from the kitchen that serves a purpose and offers two options. Write first if the first option is right, and second if the second option is right.",
        "To {purpose}, one needs the {object}.", _same("first", "second"), "{person} wants to {purpose}. 1: {option 1} 2: {option 2}"),
    View("mini551_garden_plausible", False, "use", "garden", "sensible", "Commonsense Classification", "Commonsense",
        "Some of these sentences about garden tools were mixed up by a machine. Mark a sentence as plausible if people would do such a thing, and as absurd if nobody would.",
        "The {object} is there to {purpose}.", {"yes": "plausible", "no": "absurd"}),
    View("mini552_garden_object", False, "use", "garden", "object", "Commonsense Classification", "Commonsense",
        "A gardener has a plan and two objects at hand. Select the object that helps with the plan. Output its name, just as it is written among the options.",
        "With the {object} one can {purpose}.", frame="{person} wants to {purpose}. Options: {option 1}, {option 2}"),
    # ----------------------------------------------------------------------- paraphrase
    View("mini601_market_same", True, "pair", "market", "same", "Text Matching", "Narrative",
        "In this task, you are given two sentences about an event at a market. Compare them. The answer is same if they have the same meaning, and different if they disagree in any point.",
        "Between the sentences the following differs: {changed}.", {"yes": "same", "no": "different"}, _PAIR),
    View("mini602_market_changed", True, "pair", "market", "changed", "Text Matching", "Narrative",
        "Two sentences tell nearly the same event, but one point was changed. Which one? Choose between person, place, day and action, where action means that something else was done.",
        "The sentences differ in the {changed}.", _same("person", "place", "day", "action"), _PAIR),
    View("mini603_farm_paraphrase", True, "pair", "farm", "same", "Text Matching", "Narrative",
        "Read the two sentences about a farm. Is the second sentence a paraphrase of the first, so that both tell the same in other words? Answer Yes or No.",
        "Between the sentences the following differs: {changed}.", {"yes": "Yes", "no": "No"}, _PAIR),
    View("mini651_studio_conflict", False, "pair", "studio", "same", "Text Matching", "Art",
        "Two visitors report what an artist did. Do their reports differ? Write true when the second report does not agree with the first one, and false when they only use other words.",
        "What differs between the reports: {changed}.", {"no": "true", "yes": "false"}, _PAIR),
    View("mini652_harbour_match", False, "pair", "harbour", "same", "Text Matching", "Shipping",
        "Messages from a harbour are often sent twice in different words. Given two of them, output match if they stand for one and the same event, otherwise output mismatch.",
        "What differs between the messages: {changed}.", {"yes": "match", "no": "mismatch"}, _PAIR),
    # ---------------------------------------------------------------------- entailment
    View("mini701_market_entailment", True, "entailment", "market", "relation", "Textual Entailment", "Narrative",
        "In this task, you are given a premise and a hypothesis. Their relation is entailment if the hypothesis follows from the premise, contradiction if it cannot be true, and neutral if the premise does not tell.",
        "The relation of the two sentences is {relation}.", _same("entailment", "contradiction", "neutral"), _NLI),
    View("mini702_farm_truth", True, "entailment", "farm", "relation", "Textual Entailment", "Narrative",
        "The premise reports a fact from a farm and the hypothesis is a guess. If the premise is right, is the guess true, false or unknown? Output one of these three words.",
        "The guess and the premise are in the relation {relation}.", {"entailment": "true", "contradiction": "false", "neutral": "unknown"}, _NLI),
    View("mini751_studio_support", False, "entailment", "studio", "relation", "Textual Entailment", "Art",
        "A critic makes a claim about an artist, and there is one piece of evidence. Is the claim supported by it, refuted by it, or is the matter unclear? Reply with one word.",
        "Evidence and claim are in the relation {relation}.", {"entailment": "supported", "contradiction": "refuted", "neutral": "unclear"}, _NLI),
    View("mini752_harbour_possible", False, "entailment", "harbour", "relation", "Textual Entailment", "Shipping",
        "The captain's report is the premise. Check the hypothesis of the harbour police against it. Say impossible if both cannot be right, and possible in every other case.",
        "Report and hypothesis are in the relation {relation}.", {"contradiction": "impossible", "entailment": "possible", "neutral": "possible"}, _NLI),
    # -------------------------------------------------------------------------- entities
    View("mini801_hiring_person", True, "entities", "hiring", "person", "Named Entity Recognition", "News",
        "You are given a sentence from the news about people and jobs. Write the name of the person who is mentioned. Names of firms and cities do not count.",
        "The person in the sentence is {person}.", wrong="company"),
    View("mini802_hiring_company", True, "entities", "hiring", "company", "Named Entity Recognition", "News",
        "The sentence reports that somebody got or left a job. Find the company in it and copy its name. A person or a city is a wrong answer.",
        "The company in the sentence is {company}.", wrong="city"),
    View("mini803_hiring_kind", True, "entities", "marked hiring", "kind", "Named Entity Recognition", "News",
        "One name in the sentence stands in brackets. Tell what kind of entity it is. The labels are person, city, company and month.",
        "The name in brackets is a {kind}.", _same("person", "city", "company", "month")),
    View("mini851_courts_city", False, "entities", "courts", "city", "Named Entity Recognition", "Law",
        "Reporters write about cases before the court. In which city does the case take place? Take the name from the sentence and write it down without further words.",
        "The case takes place in {city}.", wrong="person"),
    View("mini852_courts_kind", False, "entities", "marked courts", "kind", "Named Entity Recognition", "Law",
        "A clerk has put brackets around one name in a note from the court. Does it denote a human, a place or a firm? Output the right one of these words.",
        "The marked name denotes a {kind}.", {"person": "human", "city": "place", "company": "firm"}),
    # --------------------------------------------------------------- extractive answers
    View("mini901_market_answer", True, "story", "market", "answer", "Question Answering", "Narrative",
        "In this task, you are given two sentences and a question about one of them. Answer with the single word of the text that is asked for.",
        "The text says that {full}", frame=_QA),
    View("mini902_farm_place", True, "story", "farm", "answer", "Question Answering", "Narrative",
        "Read what happened on a farm and answer the question. It always asks for a place, so the output is the name of a city from the text.",
        "The text says that {full}", frame=_QA, only=("kind", "where")),
    View("mini951_harbour_answer", False, "story", "harbour", "answer", "Question Answering", "Shipping",
        "Here are two notes from the log of a harbour. Somebody wants to know one detail. Look it up in the notes and reply as briefly as you can.",
        "In the log it says that {full}", frame=_QA),
    # -------------------------------------------------------------- abstractive answers
    View("mini911_market_sentence", True, "story", "market", "full", "Question Answering", "Narrative",
        "You are given two sentences and a question. Answer it with a full sentence of your own that names the person, the deed and the thing, and also the place or the day if the question asks for it.",
        "The short answer is {answer}, and a full sentence is wanted.", frame=_QA, wrong="answer"),
    View("mini912_farm_sentence", True, "story", "farm", "full", "Question Answering", "Narrative",
        "Read the two sentences about a farm. Then write a complete sentence that answers the question. A single word is not enough, and details that were not asked for must be left out.",
        "The short answer is {answer}, and a complete sentence is wanted.", frame=_QA, wrong="answer"),
    View("mini961_studio_sentence", False, "story", "studio", "full", "Question Answering", "Art",
        "A visitor asks about the work in a studio. Reply politely, which means with a whole sentence that begins with the name of the artist and tells only what the visitor wants to know.",
        "The polite reply is a whole sentence around {answer}.", frame=_QA, wrong="answer"),
    # -------------------------------------------------------------------- dialogue acts
    View("mini1001_store_act", True, "turn", "store", "act", "Dialogue Act Recognition", "Dialogue",
        "In this task, you are given what somebody says in a store. Name the act: question to learn something, request to get something done, refusal to turn something down, statement to tell a fact.",
        "The act of the speaker is {act}.", _same("question", "request", "refusal", "statement")),
    View("mini1002_store_manners", True, "turn", "store", "act", "Dialogue Act Recognition", "Dialogue",
        "A seller and a customer talk to each other. Classify the turn as an apology if the speaker regrets something, as an offer if the speaker is ready to help, or as a greeting.",
        "This turn is of the type {act}.", _same("apology", "offer", "greeting")),
    View("mini1051_office_act", False, "turn", "office", "act", "Dialogue Act Recognition", "Business",
        "Colleagues talk in an office. What does the speaker do with these words? Pick the label: refusal when something is turned down, offer when help is proposed, question or apology for the other turns.",
        "With these words the speaker makes the act {act}.", _same("refusal", "offer", "question", "apology")),
    View("mini1052_office_grateful", False, "turn", "office", "act", "Dialogue Act Recognition", "Business",
        "We count how often people in an office are thankful. Answer Yes if the line expresses thanks to somebody. If it does anything else, such as asking or telling, answer No.",
        "The line is of the type {act}.", {"thanks": "Yes", "question": "No", "request": "No", "statement": "No"}),
    # ------------------------------------------------------------------------- grammar
    View("mini1101_market_correct", True, "slip", "market", "right", "Grammar Error Correction", "Miscellaneous",
        "In this task, you are given a sentence with one mistake in grammar. Write the sentence again without the mistake and change nothing else.",
        "The mistake is of the type {kind}.", wrong="text"),
    View("mini1102_farm_correct", True, "slip", "farm", "right", "Grammar Error Correction", "Miscellaneous",
        "A pupil wrote a sentence about a farm and made an error, such as a doubled word or a wrong verb. Repair the error and output the whole sentence.",
        "The error is of the type {kind}.", wrong="text"),
    View("mini1103_farm_check", True, "slip", "farm", "correct", "Grammar Error Detection", "Miscellaneous",
        "You are given a sentence about a farm. Check its grammar. Output correct if there is no mistake in it and incorrect if there is one.",
        "Whether the grammar is right: {correct}.", {"yes": "correct", "no": "incorrect"}, "{maybe}"),
    View("mini1151_studio_correct", False, "slip", "studio", "right", "Grammar Error Correction", "Art",
        "The catalogue of an artist was typed in a hurry. In each line, something is wrong with the language. Give the line as a careful editor would print it.",
        "The editor finds a mistake of the type {kind}.", wrong="text"),
    View("mini1152_studio_mistake", False, "slip", "studio", "correct", "Grammar Error Detection", "Art",
        "Before a catalogue is printed, every line is read once more. Does the line contain a mistake in its language? Say Yes if it must be corrected and No if it may stay.",
        "Whether the line is right: {correct}.", {"no": "Yes", "yes": "No"}, "{maybe}"),
    # --------------------------------------------------------------------- data to text
    View("mini1201_person_text", True, "table", "person", "told", "Data to Text", "Miscellaneous",
        "In this task, you are given a record about a person. Write one sentence that tells the name, the job, the city and the age, in this order.",
        "The sentence must tell every field of the record.", wrong="value"),
    View("mini1202_event_text", True, "table", "event", "told", "Data to Text", "Miscellaneous",
        "The input lists the guest, the city, the day and the seats of a talk. Turn the data into a sentence that starts with the day.",
        "The sentence must tell every field and start with the day.", wrong="value"),
    View("mini1251_product_text", False, "table", "product", "told", "Data to Text", "Commerce",
        "A shop keeps its goods in a table. Describe the item of this row to a customer in a single sentence: what it looks like, who made it and what it costs.",
        "A customer must learn every field of the row.", wrong="value"),
    # --------------------------------------------------------- families wholly unseen
    View("mini1351_road_cause", False, "consequence", "road", "cause", "Cause Effect Classification", "Traffic",
        "Two things happened in traffic, and one led to the other. Which of the two brought about the other? Write first or second.",
        "The {cause} event led to the other one.", _same("first", "second"), "{scene} {text}"),
    View("mini1352_house_reason", False, "consequence", "house", "related", "Cause Effect Classification", "Home",
        "Somebody gives a reason for what happened in a house. Think about whether the reason could really have led to it. Output logical if so and illogical if not.",
        "Whether the reason fits: {related}.", {"yes": "logical", "no": "illogical"}, "{claim}"),
    View("mini1451_market_pronoun", False, "pronoun", "market", "meant", "Coreference Resolution", "Narrative",
        "The sentence names a woman and a man and then uses a pronoun for one of them. Answer the question with the name of the right person.",
        "The pronoun {pronoun} stands for {meant}.", frame="{text} Question: {question}", wrong="other"),
    View("mini1551_nature_odd", False, "odd", "nature", "odd", "Word Semantics", "Nature",
        "Three of four words belong together, for they name things of one sort. Point out the stranger among them by writing it down.",
        "The others are of the sort {kind}, but {odd} is not.", wrong="near"),
    View("mini1651_harbour_answerable", False, "story", "harbour", "answerable", "Answerability Classification", "Shipping",
        "Before you look for an answer in the log of a harbour, find out if there is one. Output answerable if the two notes tell it, and unanswerable if they do not.",
        "Whether the notes tell the answer: {answerable}.", {"yes": "answerable", "no": "unanswerable"}, "{text} Question: {maybe}"),
)  # fmt: skip
