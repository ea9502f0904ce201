# ruff: noqa: E501 (a table of wordings)
"""More services to which people turn, for the second cycle of the training of ``tiny``.

The first cycle knows five of them, and a model that has read only those learns their wordings by heart; what a wish is
shows in many. Same form as ``INTENTS`` of the suite's words: service -> intent -> (labels, description, wordings).
"""

from __future__ import annotations

from snibench.data.mini.words import Intents

MORE_INTENTS: dict[str, Intents] = {
    "theatre desk": {
        "theatre seats": (("reserve", "book"), "seats are wanted", (
            "we want {number} seats on {day}", "keep {number} seats for {person}", "{number} places near the stage on {day}", "{person} would love to see the play on {day}")),
        "theatre off": (("cancel", "remove"), "somebody does not come after all", (
            "{person} cannot come on {day}, take the seats back", "we do not need the {number} seats any more", "take my name from the list for {day}", "we are ill and stay at home on {day}")),
        "theatre swap": (("change", "move"), "another evening is wanted", (
            "{day} suits me better than today", "may {person} come on {day} and not tonight", "I must give my seats away and take {day}", "is there a way to see it on {day}, not before")),
        "theatre price": (("price", "cost"), "somebody asks for the price of a seat", (
            "what do {number} seats cost", "are the seats on {day} cheap", "how many dollars for a seat on {day}", "does {person} pay less on {day}")),
    },
    "taxi call": {
        "taxi ride": (("order", "new"), "somebody must be driven", (
            "pick {person} up on {day}", "I must get to {city} by {day}", "a car for {number} people to {city}", "send somebody who brings me to {city}")),
        "taxi late": (("status", "track"), "somebody waits for the driver", (
            "I stand here and no car comes", "the driver for {person} is still not here", "where is the car that should bring me to {city}", "we wait for the driver since {day}")),
        "taxi lost": (("lost", "find"), "something was left in the car", (
            "I left my {colour} bag in the car", "{person} forgot a {colour} coat on the way to {city}", "did the driver find my keys on {day}", "my {colour} phone must lie on the back seat")),
        "taxi fare": (("fee", "price"), "somebody asks what the way costs", (
            "what will it cost to go to {city}", "is {amount} dollars enough to {city}", "how dear is the way to {city} on {day}", "tell {person} what the way to {city} costs")),
    },
    "hair salon": {
        "hair visit": (("appointment", "visit"), "somebody wants to come in", (
            "can you cut my hair on {day}", "{person} needs a new look by {day}", "do you have an hour for {person} on {day}", "I want to come in on {day}")),
        "hair off": (("stop", "cancel"), "somebody will stay away", (
            "{person} will not be there on {day}", "I have to stay away on {day}", "no cut for {person} on {day}, we are not in {city}", "give my hour on {day} to somebody else")),
        "hair later": (("later", "change"), "another hour is wanted", (
            "could {person} come on {day} and not today", "I am late, may I have an hour on {day}", "{day} would be better for {person}", "let us make it {day}, not earlier")),
        "hair colour": (("colour", "paint"), "the hair should look different", (
            "make my hair {colour}", "{person} wants to be {colour}", "turn my hair {colour} on {day}", "is {colour} good for the hair of {person}")),
    },
    "phone line": {
        "line broken": (("repair", "problem"), "something does not work", (
            "my phone is dead since {day}", "the {colour} phone of {person} does not ring", "no line in {city} since {day}", "the screen of the {colour} phone is broken")),
        "line new": (("contract", "new"), "a line is wanted", (
            "I want {amount} minutes for {person}", "which of your offers is good for {number} people", "write {person} down on {day}", "give us a line in {city}")),
        "line end": (("end", "stop"), "somebody leaves the firm", (
            "I leave you on {day}", "end my contract on {day}", "{person} does not need the line in {city} now", "I go to another firm on {day}")),
        "line bill": (("bill", "payment"), "somebody asks why so much must be paid", (
            "why should I pay {amount} dollars", "the bill of {person} is too high", "I never spoke {amount} minutes to {city}", "{amount} dollars for one call cannot be right")),
    },
    "gallery desk": {
        "gallery hours": (("hours", "time"), "somebody asks when it opens or closes", (
            "are you open on {day}", "how long may we stay on {day}", "when does the house in {city} close", "can {person} still get in on {day}")),
        "gallery tour": (("guide", "tour"), "somebody wants to be shown around", (
            "show {person} the pictures on {day}", "we are {number} and want a guide", "may {number} children walk around with you on {day}", "tell us about the {colour} room on {day}")),
        "gallery way": (("way", "where"), "somebody asks how to get there", (
            "how do I get to you from {city}", "which bus goes from {city} to your house", "where do I find the {colour} room", "{person} is lost in {city}, where must we turn")),
        "gallery blame": (("complaint", "blame"), "somebody was not pleased", (
            "the man at the door was rude to {person}", "it was much too loud on {day}", "the {colour} room was closed and nobody told us", "we paid {amount} dollars for two old pictures")),
    },
    "school desk": {
        "school ill": (("ill", "missing"), "a child stays at home", (
            "{person} has a cold and stays in bed", "no lesson for {person} on {day}, the head hurts", "{person} is not well, back on {day}", "my {number} children are ill")),
        "school join": (("add", "join"), "a child wants to come to this school", (
            "put {person} on the list for {day}", "{person} wants to learn with you", "is there a place for {person} in the {colour} class", "we come from {city} and look for a school")),
        "school result": (("points", "status"), "somebody asks how well a child does", (
            "how well did {person} do", "what did the teacher write about {person}", "did {person} pass on {day}", "are the {number} tests of {person} good")),
        "school praise": (("praise", "thanks"), "somebody is glad about the school", (
            "{person} loves the {colour} class", "my child learned so much on {day}", "the trip to {city} was great", "what a good teacher {person} is")),
    },
    "car garage": {
        "garage check": (("check", "service"), "a car should be looked at", (
            "look at my {colour} car on {day}", "the {colour} car makes a noise", "{person} wants new wheels by {day}", "the brake of the {colour} car is weak")),
        "garage back": (("back", "return"), "somebody wants the car again", (
            "is the {colour} car ready", "may {person} drive home on {day}", "I come for the {colour} car on {day}", "when can {person} drive again")),
        "garage help": (("help", "problem"), "a car stands on the road", (
            "my car stands still near {city}", "{person} cannot go on, the engine died near {city}", "the {colour} car does not move, bring it in", "we stand on the road behind {city} since {day}")),
        "garage cost": (("cost", "payment"), "somebody asks what the work will cost", (
            "how many dollars for new wheels", "will {amount} dollars be enough for the brake", "what must {person} pay for the paint", "is it dear to make the car {colour}")),
    },
    "post desk": {
        "post send": (("send", "transfer"), "something should go to somebody", (
            "this parcel must be in {city} by {day}", "bring my letter to {person}", "{number} letters to {city} please", "I want {person} to get this on {day}")),
        "post keep": (("keep", "wait"), "letters should wait", (
            "we are not at home until {day}, keep all letters", "do not bring anything before {day}", "{person} will take the parcel on {day}", "let my letters lie until {day}")),
        "post where": (("track", "find"), "somebody asks where a letter is", (
            "I still wait for a parcel from {city}", "nothing came from {person} yet", "did my letter reach {person}", "is the parcel from {city} lost")),
        "post blame": (("problem", "complaint"), "somebody is angry about the service", (
            "the parcel from {city} was open", "my letter came wet on {day}", "{person} got the wrong parcel", "you broke the {colour} lamp for {person}")),
    },
}  # fmt: skip
