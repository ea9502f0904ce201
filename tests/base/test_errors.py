from __future__ import annotations

from snibench.base.errors import unknown


def test_an_unknown_name_is_answered_with_the_closest_whatever_its_case() -> None:
    assert str(unknown("format", "Defnition", ["chat", "definition"])) == (
        "Unknown format 'Defnition'. Did you mean 'definition'? Known: chat, definition."
    )
    assert str(unknown("format", "zzz", ())) == "Unknown format 'zzz'. Known: none."


def test_of_very_many_names_a_sentence_lists_some() -> None:
    sentence = str(unknown("task", "task7x", [f"task{number:03}" for number in range(200)]))
    assert sentence.endswith("task059 and 140 more.")
    assert "Did you mean 'task" in sentence
