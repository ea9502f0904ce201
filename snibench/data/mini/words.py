# ruff: noqa: E501, SIM905 (word lists are read as lists of words, not as code)
"""The lexicons that suite ``mini`` and the pre-training text of model ``tiny`` share. Data, no behaviour.

Held-out domains stand beside the others: ``grammar.Family`` says which domains serve the suite and which the
pre-training.
"""

from __future__ import annotations

FEMALE = tuple(
    "Anna Maria Lucy Grace Nina Sofia Elena Ruth Clara Alice Julia Emma Laura Rosa Diana Vera Irene Leila Mona Tina".split()
)
MALE = tuple(
    "Omar Peter David Henry Carlos Felix Victor Hugo Oscar Simon Martin Paul Thomas Adam Leo Ivan Karl Bruno Samir Erik".split()
)
NAMES = FEMALE + MALE
CITIES = tuple(
    "Rome Paris London Madrid Lisbon Vienna Berlin Oslo Cairo Lima Tokyo Delhi Athens Dublin Prague Warsaw Boston "
    "Denver Sydney Toronto Geneva Nairobi Havana Seoul".split()
)
COMPANIES = tuple(
    "Altex Bravon Corvia Deltor Enviro Fortis Gramex Helion Ionix Jovian Kestrel Lumina Mirador Novatek Orbis Pinnacle".split()
)
DAYS = tuple("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split())
MONTHS = tuple("January March April May June July August September October November".split())
COLOURS = tuple("red blue green yellow black white brown grey purple orange".split())
SMALL = tuple("two three four five six seven eight nine ten".split())
DIGIT = dict(zip(SMALL, "2 3 4 5 6 7 8 9 10".split(), strict=True))

# -------------------------------------------------------------------------------- reviews

PRAISE = tuple(
    "great excellent lovely wonderful superb pleasant perfect fantastic brilliant charming delightful impressive fine "
    "splendid outstanding reliable".split()
)
BLAME = tuple(
    "awful terrible horrible poor dreadful nasty disappointing bad weak dull annoying shabby miserable useless "
    "unpleasant faulty".split()
)
LIKE = ("loved", "enjoyed", "liked", "adored", "admired")
DISLIKE = ("hated", "disliked", "regretted", "resented", "despised")
DEGREES = ("very", "really", "truly", "rather", "quite", "absolutely")
VERDICTS = {
    "positive": (
        "I would gladly do it again.",
        "Overall I am very happy.",
        "It was worth every penny.",
        "I left with a big smile.",
        "Everyone should try this.",
        "I recommend it to all my friends.",
        "In short, money well spent.",
        "We had a splendid time.",
    ),
    "negative": (
        "I would never do it again.",
        "Overall I am quite upset.",
        "It was a waste of money.",
        "I left with an angry face.",
        "Nobody should try this.",
        "I warn all my friends about it.",
        "In short, money thrown away.",
        "We had a miserable time.",
    ),
    "neutral": (
        "I have no strong opinion.",
        "Overall it was average.",
        "It was neither cheap nor dear.",
        "I left without any feelings.",
        "Some may try this, others may not.",
        "I told my friends that it exists.",
        "In short, nothing special.",
        "We had an ordinary time.",
    ),
}
THINGS = {
    "restaurant": tuple("soup waiter dessert menu bread salad sauce table kitchen wine".split()),
    "hotel": tuple("room bed lobby pool breakfast shower pillow balcony lift towel".split()),
    "airline": tuple("seat crew meal boarding pilot blanket luggage cabin delay snack".split()),
    "gym": tuple("trainer treadmill locker sauna class mat mirror weights bench entrance".split()),
    "film": tuple("plot actor ending music script scene camera dialogue hero director".split()),
    "book": tuple("chapter author cover story prose character title index page style".split()),
    "phone": tuple("screen battery speaker charger keyboard button signal design memory case".split()),
    "car": tuple("engine brake wheel radio door steering heater mirror boot paint".split()),
    "game": tuple("level graphics puzzle sound controls map boss mission rules tutorial".split()),
    "course": tuple("teacher lecture homework lesson exam textbook schedule lab project classroom".split()),
    "concert": tuple("singer band stage light ticket drummer crowd hall violin song".split()),
    "museum": tuple("guide exhibit painting statue gallery tour garden cloakroom poster archive".split()),
    "app": tuple("login menu update map search chat profile photo link icon".split()),
    "shop": tuple("cashier shelf price queue basket parking discount clerk window carpet".split()),
}

# ----------------------------------------------------------------------------- utterances
# intent -> (label words, description, wordings). {city} and the like are slots.

Intents = dict[str, tuple[tuple[str, ...], str, tuple[str, ...]]]
INTENTS: dict[str, Intents] = {  # by domain
    "travel": {
        "book": (("book", "reserve"), "the person wants a new trip", (
            "I need a flight to {city} on {day}", "get me two seats to {city} for {day}", "please arrange a trip to {city} on {day}", "a train to {city} on {day} would be nice")),
        "cancel": (("cancel", "stop"), "the person gives up a trip", (
            "I no longer want my trip to {city} on {day}", "drop my flight to {city} on {day} please", "I will not travel to {city} on {day} after all", "undo my seats to {city} for {day}")),
        "change": (("change", "move"), "the person wants another date", (
            "put my trip to {city} on {day} instead", "can I fly to {city} on {day} rather than today", "switch my train to {city} to {day}", "I would prefer {day} for my trip to {city}")),
        "price": (("price", "cost"), "the person asks what must be paid", (
            "how much is a flight to {city} on {day}", "what would I pay for {city} on {day}", "is {city} expensive on {day}", "tell me the fare to {city} for {day}")),
    },
    "bank": {
        "transfer": (("transfer", "send"), "money should go to somebody", (
            "move {amount} dollars to {person} on {day}", "please give {person} {amount} dollars on {day}", "I owe {person} {amount} dollars, pay it on {day}", "{person} should get {amount} dollars on {day}")),
        "balance": (("balance", "status"), "the customer asks what is left", (
            "do I still have {amount} dollars on {day}", "how much is left after {person} took {amount} dollars", "what remains of the {amount} dollars from {person}", "tell me what I own after {day}")),
        "block": (("block", "stop"), "a card should not work any more", (
            "{person} stole my card on {day}", "I lost my card on {day}, nobody may use it", "freeze the card that {person} has", "my card is gone since {day}, please act")),
        "loan": (("loan", "borrow"), "the customer wants money from the bank", (
            "I want {amount} dollars and pay back on {day}", "can the bank lend me {amount} dollars until {day}", "{person} and I need credit of {amount} dollars", "give us {amount} dollars, we repay in {day} rates")),
    },
    "delivery": {
        "order": (("order", "buy"), "the person wants food", (
            "bring {number} {dish} to {person}", "we are hungry, {number} {dish} for {person}", "I would like {number} {dish} please", "{person} wants {number} {dish} tonight")),
        "track": (("track", "status"), "the person asks where the food is", (
            "where are the {number} {dish} for {person}", "has the driver left with the {number} {dish}", "when will {person} see the {number} {dish}", "are my {number} {dish} on the way")),
        "complaint": (("complaint", "problem"), "the person is not pleased with the food", (
            "the {number} {dish} for {person} were cold", "you forgot {number} {dish}, {person} is angry", "{person} found a hair in the {dish}", "the {dish} tasted bad and {person} is ill")),
        "menu": (("menu", "list"), "the person asks what can be had", (
            "do you also cook {dish}", "which sorts of {dish} do you have for {person}", "can {person} get {dish} without meat", "what goes well with {number} {dish}")),
    },
    "library": {
        "borrow": (("borrow", "lend"), "the person wants a book", (
            "I would like to read the {colour} book about {city}", "may {person} take the {colour} book home until {day}", "keep the book about {city} for {person}", "{person} needs a book about {city} by {day}")),
        "extend": (("extend", "renew"), "the person wants more time", (
            "may I keep the {colour} book until {day}", "{person} has not finished the book about {city}, more time please", "another week for the {colour} book", "I cannot bring the book about {city} before {day}")),
        "fine": (("fine", "fee"), "the person asks about money owed", (
            "what do I owe for the {colour} book", "{person} brought the book late, what must be paid", "why should {person} pay for the {colour} book", "how much is it if I come on {day}")),
        "hours": (("hours", "time"), "the person asks when it is open", (
            "when do you close on {day}", "can {person} come in early on {day}", "is the reading room open on {day}", "until when may {person} stay on {day}")),
    },
    "music": {
        "play": (("play", "start"), "the person wants to hear something", (
            "put on the {colour} album by {person}", "I want to hear {person} now", "let us listen to {person} from {city}", "some songs of {person} please")),
        "pause": (("pause", "stop"), "the person wants silence", (
            "be quiet, {person} is sleeping", "no more songs of {person} now", "silence please until {day}", "turn {person} off")),
        "rate": (("rate", "like"), "the person judges a song", (
            "{number} stars for the song by {person}", "the {colour} album by {person} gets {number} points", "I give {person} {number} of ten", "mark this song by {person} with {number}")),
        "find": (("find", "search"), "the person looks for a song", (
            "which album has the song about {city}", "what is the song that {person} sang in {city}", "look for the {colour} album by {person}", "is there a song about {city}")),
    },
    "home": {
        "on": (("on", "start"), "a device should begin to work", (
            "make it bright in the {room}", "start the heater in the {room} on {day}", "let the {colour} lamp shine in the {room}", "it is cold in the {room}, warm it up")),
        "off": (("off", "stop"), "a device should end its work", (
            "make it dark in the {room}", "no more heat in the {room} on {day}", "kill the {colour} lamp in the {room}", "{person} sleeps in the {room}, darkness please")),
        "lock": (("lock", "close"), "a door should be shut", (
            "nobody may enter the {room}", "shut the {colour} door of the {room}", "close the {room} before {person} comes", "bolt the door of the {room} on {day}")),
        "clean": (("clean", "wash"), "dirt should go away", (
            "the {room} is dusty, do something", "sweep the {room} on {day}", "{person} spilled milk in the {room}", "send the robot through the {room}")),
    },
    "calendar": {
        "add": (("add", "new"), "a new meeting is wanted", (
            "I meet {person} on {day}", "put lunch with {person} on {day}", "{person} visits me in {city} on {day}", "note the trip to {city} on {day}")),
        "delete": (("delete", "remove"), "a meeting is given up", (
            "{person} is ill, no lunch on {day}", "forget the meeting with {person} on {day}", "the trip to {city} is off", "erase {person} from {day}")),
        "move": (("move", "change"), "a meeting gets another time", (
            "{person} can only come on {day}", "shift lunch with {person} to {day}", "make it {day} for the trip to {city}", "let us meet {person} later, on {day}")),
        "show": (("show", "list"), "the person asks what is planned", (
            "what do I do on {day}", "am I free on {day}", "when do I see {person}", "which meetings do I have in {city}")),
    },
    "shopping": {
        "order": (("order", "buy"), "the person wants a product", (
            "I take {number} {colour} shirts", "send {number} shirts to {person} in {city}", "put {number} {colour} shirts in my basket", "{person} wants the {colour} shirt")),
        "return": (("return", "back"), "the person does not keep a product", (
            "the {colour} shirt is too small for {person}", "take the {number} shirts again please", "I want my money for the {colour} shirt", "{person} does not like the {colour} shirt, what now")),
        "track": (("track", "status"), "the person asks where a parcel is", (
            "where is the parcel for {person}", "has my {colour} shirt left {city}", "when will the {number} shirts arrive", "is the parcel still in {city}")),
        "size": (("size", "measure"), "the person asks how big it is", (
            "is the {colour} shirt wide enough for {person}", "how long are the {number} shirts", "does {person} need a bigger shirt", "how many inches is the {colour} shirt")),
    },
    "clinic": {
        "visit": (("visit", "appointment"), "the patient wants to see a doctor", (
            "can {person} see the doctor on {day}", "I need the doctor on {day}", "{person} should be examined by {day}", "is the doctor free on {day}")),
        "medicine": (("medicine", "pills"), "the patient needs a drug", (
            "{person} has no pills left", "I need {number} more boxes of the {colour} tablets", "may {person} take {number} tablets", "the {colour} tablets are used up")),
        "pain": (("pain", "symptom"), "the patient tells what hurts", (
            "my back hurts since {day}", "{person} has had a fever for {number} days", "{person} cannot move one leg", "since {day} my head aches")),
        "bill": (("bill", "payment"), "the patient asks about money", (
            "what does the visit of {person} cost", "I paid {amount} dollars on {day}, why again", "the letter says {amount} dollars, is it right", "who pays for {person}")),
    },
}  # fmt: skip
ASKING = frozenset("can how what is do has when are which may why until could does where who am should".split())
DISHES = tuple("pizzas noodles burgers salads tacos soups pancakes sandwiches".split())
ROOMS = tuple("bedroom cellar office bathroom hallway garage attic nursery".split())

# --------------------------------------------------------------------------------- topics
# topic -> (label words, agents, deeds)

TOPICS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "sports": (("sports", "athletics"), ("striker", "coach", "goalkeeper", "runner", "champion", "referee"), (
        "scored twice in the final", "won the race", "trained for the cup", "lost the match", "broke the record", "joined the team")),
    "politics": (("politics", "government"), ("minister", "senator", "mayor", "president", "voter", "party"), (
        "called an election", "won the vote", "signed the treaty", "lost the majority", "debated the budget", "promised lower taxes")),
    "science": (("science", "research"), ("chemist", "physicist", "astronomer", "biologist", "researcher", "laboratory"), (
        "measured the particles", "studied the cells", "tested a theory", "observed a distant star", "published the experiment", "discovered a molecule")),
    "business": (("business", "economy"), ("banker", "investor", "manager", "trader", "firm", "broker"), (
        "sold the shares", "raised the profits", "cut the jobs", "bought a rival company", "feared a crisis on the market", "reported record sales")),
    "food": (("food", "cooking"), ("chef", "baker", "cook", "butcher", "grocer", "taster"), (
        "fried the onions", "baked a cake", "stirred the soup", "salted the potatoes", "tasted the cheese", "peeled the garlic")),
    "health": (("health", "medicine"), ("doctor", "nurse", "patient", "surgeon", "pharmacist", "dentist"), (
        "treated the fever", "cured the infection", "tested the vaccine", "checked the blood", "healed the wound", "prescribed the tablets")),
    "technology": (("technology", "computers"), ("programmer", "hacker", "engineer", "robot", "developer", "startup"), (
        "fixed the software", "built a server", "wrote the code", "hacked the network", "released an update", "tested the processor")),
    "music": (("music", "songs"), ("singer", "pianist", "band", "composer", "orchestra", "drummer"), (
        "sang the chorus", "tuned the guitar", "recorded an album", "played a sonata", "rehearsed the opera", "wrote a melody")),
    "weather": (("weather", "climate"), ("storm", "wind", "rain", "snow", "fog", "heatwave"), (
        "covered the coast", "arrived from the north", "flooded the valley", "melted by noon", "got stronger at night", "cleared up at dawn")),
    "travel": (("travel", "tourism"), ("tourist", "traveller", "backpacker", "guide", "cruise", "passenger"), (
        "crossed the border", "packed a suitcase", "reached the island", "boarded the ferry", "visited the old temple", "stayed at a hostel")),
    "crime": (("crime", "law"), ("thief", "detective", "judge", "lawyer", "burglar", "witness"), (
        "robbed the jewellery", "solved the murder", "went to prison", "denied the charges", "found the stolen goods", "faced the court")),
    "education": (("education", "school"), ("teacher", "pupil", "student", "professor", "principal", "tutor"), (
        "passed the exam", "graded the essays", "learned the alphabet", "left the classroom", "gave a lecture", "forgot the homework")),
}  # fmt: skip

# -------------------------------------------------------------------------------- objects
# domain -> object -> (purpose, place, material, weight)

OBJECTS: dict[str, dict[str, tuple[str, str, str, str]]] = {
    "kitchen": {
        "kettle": ("boil water", "stove", "steel", "light"), "knife": ("cut bread", "drawer", "steel", "light"),
        "fridge": ("cool milk", "corner", "metal", "heavy"), "oven": ("bake cakes", "wall", "metal", "heavy"),
        "spoon": ("stir tea", "drawer", "wood", "light"), "plate": ("serve meals", "cupboard", "clay", "light"),
        "freezer": ("store ice", "cellar", "metal", "heavy"), "sponge": ("wash dishes", "sink", "foam", "light"),
    },
    "garden": {
        "rake": ("gather leaves", "shed", "wood", "light"), "mower": ("trim grass", "shed", "metal", "heavy"),
        "hose": ("water flowers", "wall", "rubber", "light"), "wheelbarrow": ("carry soil", "yard", "metal", "heavy"),
        "seed": ("grow plants", "soil", "fibre", "light"), "fence": ("keep dogs out", "yard", "wood", "heavy"),
        "spade": ("dig holes", "shed", "steel", "light"), "fountain": ("please birds", "lawn", "stone", "heavy"),
    },
    "office": {
        "pen": ("write letters", "desk", "plastic", "light"), "printer": ("print pages", "shelf", "plastic", "heavy"),
        "stapler": ("join papers", "desk", "metal", "light"), "safe": ("guard money", "wall", "steel", "heavy"),
        "eraser": ("remove marks", "drawer", "rubber", "light"), "copier": ("copy files", "corner", "metal", "heavy"),
        "envelope": ("mail letters", "drawer", "paper", "light"), "bookcase": ("hold books", "wall", "wood", "heavy"),
    },
    "workshop": {
        "hammer": ("drive nails", "bench", "steel", "light"), "saw": ("cut planks", "bench", "steel", "light"),
        "anvil": ("shape iron", "floor", "iron", "heavy"), "glue": ("stick parts", "shelf", "plastic", "light"),
        "forge": ("melt metal", "corner", "stone", "heavy"), "brush": ("paint walls", "shelf", "wood", "light"),
        "ladder": ("reach roofs", "wall", "wood", "heavy"), "ruler": ("measure lines", "bench", "plastic", "light"),
    },
    "bathroom": {
        "soap": ("wash hands", "sink", "oil", "light"), "razor": ("shave beards", "shelf", "steel", "light"),
        "bathtub": ("bathe children", "corner", "metal", "heavy"), "comb": ("tidy hair", "shelf", "plastic", "light"),
        "washer": ("clean clothes", "wall", "metal", "heavy"), "toothbrush": ("clean teeth", "sink", "plastic", "light"),
        "towel": ("dry faces", "hook", "cotton", "light"), "boiler": ("heat water", "cellar", "metal", "heavy"),
    },
    "street": {
        "truck": ("move furniture", "road", "metal", "heavy"), "bicycle": ("ride home", "path", "metal", "light"),
        "tram": ("bring people to work", "rails", "metal", "heavy"), "umbrella": ("stop rain", "bag", "cotton", "light"),
        "whistle": ("warn drivers", "pocket", "plastic", "light"), "crane": ("lift beams", "site", "steel", "heavy"),
        "bench": ("rest legs", "park", "wood", "heavy"), "ticket": ("ride trams", "pocket", "paper", "light"),
    },
}  # fmt: skip

# --------------------------------------------------------------------------------- events
# domain -> (verb, same meaning, opposite, base form), objects with their kind, places

VERBS: dict[str, tuple[tuple[str, str, str, str], ...]] = {
    "market": (("bought", "purchased", "sold", "buy"), ("carried", "hauled", "dropped", "carry"), ("weighed", "measured", "ignored", "weigh")),
    "farm": (("fed", "nourished", "starved", "feed"), ("cleaned", "washed", "soiled", "clean"), ("caught", "captured", "released", "catch")),
    "studio": (("built", "made", "destroyed", "build"), ("painted", "coloured", "scratched", "paint"), ("showed", "presented", "hid", "show")),
    "harbour": (("repaired", "fixed", "damaged", "repair"), ("rented", "hired", "owned", "rent"), ("moored", "tied", "untied", "moor")),
    "home": (("cleaned", "washed", "soiled", "clean"), ("found", "discovered", "lost", "find"), ("broke", "smashed", "mended", "break")),
    "school": (("praised", "applauded", "blamed", "praise"), ("read", "studied", "ignored", "read"), ("borrowed", "took", "returned", "borrow")),
    "office": (("sent", "mailed", "received", "send"), ("wrote", "composed", "erased", "write"), ("signed", "approved", "rejected", "sign")),
    "forest": (("saw", "spotted", "missed", "see"), ("followed", "chased", "avoided", "follow"), ("drew", "sketched", "erased", "draw")),
    "kitchen": (("cooked", "prepared", "burned", "cook"), ("ate", "consumed", "refused", "eat"), ("cut", "sliced", "joined", "cut")),
    "garage": (("repaired", "fixed", "damaged", "repair"), ("bought", "purchased", "sold", "buy"), ("hid", "concealed", "showed", "hide")),
}  # fmt: skip
GOODS: dict[str, tuple[tuple[str, str], ...]] = {
    "market": (("apple", "fruit"), ("pear", "fruit"), ("carrot", "vegetable"), ("cabbage", "vegetable"), ("salmon", "fish"), ("trout", "fish")),
    "farm": (("cow", "animal"), ("goat", "animal"), ("hen", "bird"), ("goose", "bird"), ("pig", "animal"), ("duck", "bird")),
    "studio": (("chair", "furniture"), ("table", "furniture"), ("flute", "instrument"), ("guitar", "instrument"), ("vase", "pottery"), ("bowl", "pottery")),
    "harbour": (("ferry", "ship"), ("yacht", "ship"), ("van", "vehicle"), ("truck", "vehicle"), ("rope", "tool"), ("anchor", "tool")),
    "home": (("sofa", "furniture"), ("lamp", "furniture"), ("cup", "pottery"), ("jug", "pottery"), ("coat", "clothing"), ("scarf", "clothing")),
    "school": (("poem", "text"), ("novel", "text"), ("violin", "instrument"), ("drum", "instrument"), ("map", "text"), ("essay", "text")),
    "office": (("letter", "text"), ("report", "text"), ("contract", "text"), ("poster", "picture"), ("photo", "picture"), ("sketch", "picture")),
    "forest": (("fox", "animal"), ("deer", "animal"), ("owl", "bird"), ("eagle", "bird"), ("oak", "tree"), ("pine", "tree")),
    "kitchen": (("potato", "vegetable"), ("onion", "vegetable"), ("lemon", "fruit"), ("plum", "fruit"), ("tuna", "fish"), ("cod", "fish")),
    "garage": (("car", "vehicle"), ("bicycle", "vehicle"), ("drill", "tool"), ("hammer", "tool"), ("boat", "ship"), ("canoe", "ship")),
}  # fmt: skip
ADJECTIVES = (("big", "large", "small"), ("old", "ancient", "new"), ("cheap", "inexpensive", "costly"), ("clean", "spotless", "dirty"), ("heavy", "weighty", "light"), ("pretty", "beautiful", "ugly"))  # fmt: skip
JOBS = tuple("pilot farmer painter driver tailor writer waiter guard clerk miner".split())
KINDS: dict[str, tuple[str, ...]] = {
    "fruit": tuple("apple pear lemon plum cherry grape peach mango".split()),
    "animal": tuple("cow goat pig fox deer horse wolf sheep".split()),
    "bird": tuple("hen goose duck owl eagle crow swan robin".split()),
    "furniture": tuple("chair table sofa lamp shelf desk bed stool".split()),
    "vehicle": tuple("van truck car bicycle bus tram train taxi".split()),
    "instrument": tuple("flute guitar violin drum piano trumpet harp cello".split()),
    "tool": tuple("rope anchor hammer drill saw rake spade wrench".split()),
    "clothing": tuple("coat scarf shirt hat glove sock dress belt".split()),
    "colour": COLOURS[:8],
    "job": JOBS[:8],
    "drink": tuple("water milk juice tea coffee wine lemonade cider".split()),
    "metal": tuple("iron steel copper silver gold tin zinc lead".split()),
}

KIND_DOMAINS = {
    "nature": ("fruit", "animal", "bird", "metal"),
    "people": ("clothing", "colour", "job", "drink"),
    "things": ("furniture", "vehicle", "instrument", "tool", "drink", "metal"),
    "mixed": ("fruit", "bird", "furniture", "colour", "tool", "job"),
}

# --------------------------------------------------------------------------- dialogue acts
# act -> (label words, description, wordings); {item}, {place}, {person} depend on the domain

ACTS: dict[str, tuple[tuple[str, ...], str, tuple[str, ...]]] = {
    "question": (("question", "ask"), "the speaker wants to know something", (
        "Where can I find the {item}?", "Is the {item} ready by {day}?", "How much does the {item} cost?", "Does {person} know about the {item}?", "When does {person} come to the {place}?")),
    "request": (("request", "demand"), "the speaker wants somebody to do something", (
        "Please bring me the {item}.", "Could you carry the {item} to the {place}?", "Let {person} see the {item} now.", "I need you to pack the {item} for {person}.", "Take the {item} out of the {place}, please.")),
    "thanks": (("thanks", "gratitude"), "the speaker is grateful", (
        "That was kind of you, {person}.", "I am grateful for the {item}.", "Thank you for the {item}, {person}.", "You helped me so much at the {place}.", "Many thanks for bringing the {item} on {day}.")),
    "apology": (("apology", "sorry"), "the speaker regrets something", (
        "I am sorry about the {item}.", "Forgive me, I broke the {item}.", "It was my fault that {person} lost the {item}.", "I should not have left the {place}, {person}.", "My mistake, the {item} was for {person}.")),
    "offer": (("offer", "proposal"), "the speaker is ready to do something", (
        "I can carry the {item} for you.", "Shall I call {person} about the {item}?", "Let me bring the {item} on {day}.", "If you like, I will show you the {place}.", "You may have my {item}, {person}.")),
    "refusal": (("refusal", "no"), "the speaker turns something down", (
        "I will not pay for the {item}.", "No, {person} cannot have the {item}.", "We do not sell the {item} on {day}.", "That is impossible at the {place}.", "I would rather not touch the {item}.")),
    "greeting": (("greeting", "hello"), "the speaker says hello", (
        "Good morning, {person}.", "Welcome to the {place}.", "Hello {person}, nice to see you at the {place}.", "Hi, you must be {person}.", "Good evening and welcome, {person}.")),
    "statement": (("statement", "inform"), "the speaker tells a fact", (
        "The {item} is in the {place}.", "{person} sold the {item} on {day}.", "The {place} opens on {day}.", "We have {number} of the {item} left.", "{person} works in the {place}.")),
}  # fmt: skip
SCENES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # domain -> items, places
    "store": (tuple("jacket watch ring mirror carpet candle".split()), tuple("counter entrance aisle basement".split())),
    "office": (tuple("report folder invoice contract laptop badge".split()), tuple("lobby archive canteen office".split())),
    "station": (tuple("suitcase ticket newspaper backpack timetable parcel".split()), tuple("platform tunnel kiosk waggon".split())),
    "school": (tuple("notebook essay pencil map textbook globe".split()), tuple("library classroom yard gym".split())),
    "hospital": (tuple("bandage pillow wheelchair syringe bill form".split()), tuple("ward reception chapel cafeteria".split())),
    "camp": (tuple("tent torch rope blanket kettle compass".split()), tuple("lake meadow cabin trail".split())),
}  # fmt: skip

# ------------------------------------------------------------------------ causes and effects

CAUSES: dict[str, tuple[tuple[str, str], ...]] = {
    "road": (("the road was icy", "the car slid into the ditch"), ("the bridge collapsed", "the drivers took another way"), ("the tank was empty", "the engine stopped"), ("a tyre burst", "the bus stood still"), ("the fog was thick", "everybody drove slowly"), ("the signal turned red", "the taxi waited")),
    "house": (("the window was open", "the room got cold"), ("the pipe leaked", "the floor was wet"), ("the lamp fell", "the bulb broke"), ("the baby cried", "the mother woke up"), ("the cat jumped", "the vase fell down"), ("the stove was hot", "the child burned a finger")),
    "farm": (("it did not rain", "the corn dried out"), ("the gate was open", "the cows ran away"), ("a wolf came", "the sheep hid"), ("the sun shone", "the hay dried quickly"), ("the dog barked", "the hens flew up"), ("the farmer was ill", "nobody milked the goats")),
    "school": (("the bell rang", "the pupils ran out"), ("the teacher was ill", "the lesson was cancelled"), ("he did not study", "he failed the exam"), ("she read a lot", "she knew every answer"), ("the chalk broke", "the sum stayed unfinished"), ("the bus was late", "half of the class was missing")),
    "sea": (("the storm grew", "the ship turned back"), ("the net tore", "the fish escaped"), ("the lighthouse went dark", "the captain lost the way"), ("the boat had a hole", "the sailors got wet"), ("the wind died", "the yacht lay still"), ("the cook was seasick", "the crew ate bread")),
    "work": (("the boss shouted", "the clerk left the office"), ("the printer jammed", "the report came late"), ("sales fell", "the firm cut jobs"), ("the alarm rang", "all workers went outside"), ("the power failed", "the screens went black"), ("she worked hard", "she got more money")),
}  # fmt: skip

# ------------------------------------------------------------------------------- entities

ENTITY_PATTERNS: dict[str, tuple[str, ...]] = {
    "hiring": ("In {month}, {company} hired {person} as its new head in {city}.", "{person} will lead the {city} branch of {company} from {month}.", "The lawyer {person} leaves {company} and returns to {city} in {month}.", "From {month} on, {person} speaks for {company} in {city}."),
    "courts": ("A judge in {city} fined {company} in {month} after {person} complained.", "{person} accused {company} of fraud in {city} last {month}.", "The case of {person} against {company} begins in {city} in {month}.", "In {month} a court in {city} cleared {company} and {person}."),
    "science": ("{person} of {company} presented a new battery in {city} in {month}.", "In {month} the laboratory of {company} in {city} gave a prize to {person}.", "The engineer {person} tests robots for {company} in {city} until {month}.", "Since {month}, {company} and {person} share a laboratory in {city}."),
    "sports": ("{company} pays for the race in {city} that {person} won in {month}.", "{person} runs for {company} in {city} in {month}.", "In {month}, fans in {city} saw {person} in the shirt of {company}.", "The coach {person} left {city} in {month} and works for {company}."),
    "trade": ("{company} opened a shop in {city} in {month}, said {person}.", "{person} bought shares of {company} in {month} in {city}.", "In {city}, {person} sold the firm {company} in {month}.", "The prices of {company} rose in {month}, and {person} moved to {city}."),
    "culture": ("{company} paid for the opera that {person} sang in {city} in {month}.", "In {month}, {person} showed paintings of {city} at {company}.", "The writer {person} from {city} got a prize from {company} in {month}.", "{person} plays in {city} in {month}, and {company} sells the tickets."),
}  # fmt: skip

# -------------------------------------------------------------------------------- records
# domain -> field names with their slots, and two ways to tell the record

RECORDS: dict[str, tuple[dict[str, str], str, str]] = {
    "person": ({"name": "name", "job": "job", "city": "city", "age": "year"}, "{name} is {a_job} from {city} and is {year} years old.", "{city} is the home of {name}, {a_job} of {year}."),
    "event": ({"guest": "name", "city": "city", "day": "day", "seats": "number"}, "On {day}, {name} will speak in {city} to {number} people.", "{city} expects {name} and {number} listeners on {day}."),
    "product": ({"item": "thing", "colour": "colour", "price": "price", "maker": "name"}, "The {colour} {thing} by {name} costs {price} dollars.", "{name} sells {a_colour} {thing} for {price} dollars."),
    "trip": ({"traveller": "name", "to": "city", "day": "day", "bags": "number"}, "{name} flies to {city} on {day} with {number} bags.", "The flight of {name} with {number} bags leaves for {city} on {day}."),
    "order": ({"buyer": "name", "item": "thing", "colour": "colour", "count": "number"}, "{name} ordered the {thing} {number} times in {colour}.", "The order of {name} is for {colour}, {thing}, {number} times."),
    "job": ({"firm": "firm", "role": "job", "city": "city", "pay": "price"}, "They look for {a_job} in {city} and pay {price} dollars.", "In {city} there is work as {a_job} for {price} dollars."),
}  # fmt: skip

# ---------------------------------------------------------------------------------- slips
# right, wrong, kind of mistake

SLIPS: tuple[tuple[str, str, str], ...] = (
    ("{name} {verb} {an} {noun} in {city}.", "{name} {verb} {no_an} {noun} in {city}.", "article"),
    ("{name} and {other} were in {city} on {day}.", "{name} and {other} was in {city} on {day}.", "verb"),
    ("{name} has {an} {noun} and {other} likes it.", "{name} have {an} {noun} and {other} likes it.", "verb"),
    ("The {noun} is {adjective}, said {name} on {day}.", "The {noun} are {adjective}, said {name} on {day}.", "verb"),
    ("{name} {verb} the {adjective} {noun} on {day}.", "{name} {verb} the the {adjective} {noun} on {day}.", "repetition"),
    ("{name} {verb} the {noun} with {other} in {city}.", "{name} {verb} the {noun} with with {other} in {city}.", "repetition"),
    ("On {day}, {name} {verb} the {adjective} {noun}.", "On {day}, {name} {verb} the {noun} {adjective}.", "order"),
    ("{name} did not {base} the {noun} in {city}.", "{name} not did {base} the {noun} in {city}.", "order"),
)  # fmt: skip
