from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from snibench.base import registry
from snibench.base.errors import PluginError, SnibenchError, UsageError, unknown
from snibench.base.registry import FORMATS, METHODS, PROTOCOLS, RULES, SUITES, Registry

Install = Callable[..., Path]
GROUP = "snibench.formats"


def fresh() -> Registry:
    return Registry("format", GROUP)


def test_an_unknown_name_gets_the_closest_one_as_a_suggestion() -> None:
    with pytest.raises(UsageError, match=r"Unknown format 'definitoin'\. Did you mean 'definition'\?"):
        FORMATS.get("definitoin")


def test_a_name_like_no_other_gets_the_list_and_no_suggestion() -> None:
    with pytest.raises(UsageError) as caught:
        FORMATS.get("zzzz")
    assert "Did you mean" not in str(caught.value)
    assert "definition" in str(caught.value)


def test_case_does_not_keep_a_name_from_being_suggested() -> None:
    known = ["Sentiment Analysis", "Textual Entailment"]
    assert "Did you mean 'Sentiment Analysis'?" in str(unknown("category", "sentiment", known))
    assert "Did you mean 'Textual Entailment'?" in str(unknown("category", "TEXTUAL ENTAILMENT", known))


def test_a_file_stands_for_its_single_class_and_else_is_asked_for_one(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import x_that_is_not_there\nclass Mine: ...\nclass Other: ...\nclass _Part: ...\n", encoding="utf-8"
    )
    with pytest.raises(UsageError, match=r"2 classes. Name the method: \S*mine\.py:Mine or \S*mine\.py:Other"):
        METHODS.get(str(file))
    settings = "@dataclass(frozen=True)\nclass S: ...\n"
    floor = "from snibench.contracts import Floor\nclass Mine(Floor):\n    answer = None\n"
    file.write_text(f"from dataclasses import dataclass\n{settings}{floor}", encoding="utf-8")
    assert METHODS.full_name(str(file)) == f"{file}:Mine"
    assert METHODS.get(str(file)).__name__ == "Mine"
    for text, words in (("class :", "not a Python file"), ("x = 1", "defines no class")):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(UsageError, match=words):
            METHODS.get(str(file))
    with pytest.raises(UsageError, match=r"no file .nowhere\.py"):
        METHODS.get("nowhere.py")


def test_a_plugin_is_found_by_name_with_its_distribution_and_version(install: Install) -> None:
    install("nice-plugin", {GROUP: {"nice": "nice_plugin:Nice"}}, {"nice_plugin.py": "class Nice: pass\n"})
    entry = fresh().entry("nice")
    assert (entry.distribution, entry.version) == ("nice-plugin", "1.0")
    assert entry.load().__name__ == "Nice"


def test_listing_names_imports_no_plugin(install: Install) -> None:
    source = "raise RuntimeError('imported')\n"
    install("loud-plugin", {GROUP: {"loud": "loud_plugin:Loud"}}, {"loud_plugin.py": source})
    assert "loud" in fresh().names()
    assert "loud" in {entry.name for entry in fresh().entries()}


def test_a_broken_plugin_is_named_with_its_cause_and_the_others_work(install: Install) -> None:
    source = "import module_that_nobody_has\n"
    install("broken-plugin", {GROUP: {"broken": "broken_plugin:Broken"}}, {"broken_plugin.py": source})
    registry = fresh()
    with pytest.raises(
        PluginError, match=r"'broken' of broken-plugin 1\.0 cannot be loaded: ModuleNotFoundError: .*nobody_has"
    ):
        registry.get("broken")
    assert registry.get("definition").__name__ == "Definition"


def test_a_plugin_without_the_attribute_that_it_promises_is_broken(install: Install) -> None:
    install("hollow-plugin", {GROUP: {"hollow": "hollow_plugin:Gone"}}, {"hollow_plugin.py": ""})
    with pytest.raises(PluginError, match=r"hollow-plugin 1\.0.*AttributeError.*Gone"):
        fresh().get("hollow")


def test_two_distributions_with_one_name_are_an_error_that_names_both(install: Install) -> None:
    install("first-plugin", {GROUP: {"same": "first_plugin:A"}}, {"first_plugin.py": "class A: pass\n"})
    install("second-plugin", {GROUP: {"same": "second_plugin:B"}}, {"second_plugin.py": "class B: pass\n"})
    registry = fresh()
    with pytest.raises(PluginError, match=r"The format 'same' is claimed by") as caught:
        registry.get("same")
    assert "first-plugin 1.0" in str(caught.value)
    assert "second-plugin 1.0" in str(caught.value)
    assert len([entry for entry in registry.entries() if entry.name == "same"]) == 2
    assert registry.get("definition").__name__ == "Definition"


def test_a_plugin_cannot_take_a_built_in_name(install: Install) -> None:
    install("usurper", {GROUP: {"definition": "usurper:Mine"}}, {"usurper.py": "class Mine: pass\n"})
    with pytest.raises(PluginError, match=r"'definition' is claimed by (snibench|usurper) .* and (snibench|usurper)"):
        fresh().get("definition")


def test_the_same_distribution_twice_on_the_path_counts_once(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    site = install("twice", {GROUP: {"twice": "twice_plugin:T"}}, {"twice_plugin.py": "class T: pass\n"})
    shutil.copytree(site, tmp_path / "copy")
    monkeypatch.syspath_prepend(tmp_path / "copy")
    assert fresh().get("twice").__name__ == "T"


def test_a_copy_behind_one_that_has_no_such_entry_points_is_not_there(install: Install, tmp_path: Path) -> None:
    old = {GROUP: {"gone": "gone_plugin:T"}}
    site = install("renamed", old, {"gone_plugin.py": "class T: pass\n"})
    assert "gone" in fresh().names()
    newer = site / "newer"
    (newer / "renamed-2.0.dist-info").mkdir(parents=True)
    (newer / "renamed-2.0.dist-info" / "METADATA").write_text("Name: renamed\nVersion: 2.0\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(newer)
        assert "gone" not in fresh().names()


def test_a_class_is_loaded_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from dataclasses import dataclass\n@dataclass\nclass Mine:\n    rank: int = 3\n", encoding="utf-8")
    assert fresh().get(f"{file}:Mine")().rank == 3


def test_a_missing_class_in_a_file_gets_a_suggestion(tmp_path: Path) -> None:
    file = tmp_path / "mine2.py"
    file.write_text("class Minne: pass\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"mine2\.py 'Mine'\. Did you mean 'Minne'"):
        fresh().get(f"{file}:Mine")


def test_of_a_file_only_the_classes_that_could_be_meant_are_known(tmp_path: Path) -> None:
    file = tmp_path / "mine3.py"
    source = "from snibench.api import Format\nfrom os.path import join\ndef helper(): ...\nclass Helper: ...\n"
    file.write_text(
        f"{source}class Mine(Format):\n    def prompt(self, *a): ...\n    def render(self, *a): ...\n", "utf-8"
    )
    with pytest.raises(UsageError, match=r"Did you mean 'Mine'\? Known: Mine\.$"):
        FORMATS.get(f"{file}:Mime")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(UsageError, match=r"There is no file 'nowhere/mine\.py' to load the format 'Mine' from"):
        fresh().get("nowhere/mine.py:Mine")


def test_a_file_that_raises_is_named_with_its_cause(tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    file.write_text("1 / 0\n", encoding="utf-8")
    with pytest.raises(PluginError, match=r"bad\.py cannot be loaded: ZeroDivisionError"):
        fresh().get(f"{file}:Mine")


@pytest.mark.parametrize("registry", [FORMATS, PROTOCOLS, SUITES], ids=lambda registry: registry.noun)
def test_every_built_in_that_needs_no_torch_loads(registry: Registry) -> None:
    for entry in registry.entries():
        assert isinstance(entry.load(), type), entry.name


@pytest.mark.parametrize("registry", [METHODS, RULES], ids=lambda registry: registry.noun)
def test_every_built_in_that_trains_loads(registry: Registry) -> None:
    pytest.importorskip("torch")
    for entry in registry.entries():
        assert isinstance(entry.load(), type), entry.name


# ------------------------------------------------------------------- plugins that are none


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("thing = 3", "a value of type int, not a class derived from Method or Floor or Recorded"),
        ("def thing(): ...", "a value of type function"),
        ("class thing: ...", "the class thing does not derive from Method or Floor or Recorded"),
        ("from snibench.contracts import Floor\nclass thing(Floor): ...", "the class thing lacks answer"),
        ("import sys\nsys.exit(3)", "cannot be loaded: SystemExit: 3"),
        ("raise BaseException", "cannot be loaded: BaseException"),
    ],
)
def test_what_is_no_method_is_refused_by_its_name(install, tmp_path, source: str, words: str) -> None:
    module = f"odd_{abs(hash(source))}"
    install("odd-plugin", {"snibench.methods": {"odd": f"{module}:thing"}}, {f"{module}.py": source})
    with pytest.raises(PluginError, match=re.escape(words)) as refused:
        registry.METHODS.get("odd")
    assert "odd-plugin 1.0" in str(refused.value)
    (tmp_path / "odd.py").write_text(source, encoding="utf-8")
    with pytest.raises(SnibenchError, match=re.escape(words)):
        registry.METHODS.get(f"{tmp_path}/odd.py:thing")


@pytest.mark.parametrize(
    "text",
    [b"[snibench.methods]\nno equals sign\n", b"\xff\xfe", b"[a\n= b\n", b"[snibench.methods]\nx = not a place!\n"],
)
def test_a_malformed_distribution_of_anybody_hides_no_other(install, text: bytes) -> None:
    site = install("good-plugin", {"snibench.methods": {"good": "good_plugin:Good"}})
    (site / "bad_plugin-1.0.dist-info").mkdir()
    (site / "bad_plugin-1.0.dist-info" / "METADATA").write_text("Name: bad-plugin\nVersion: 1.0\n", encoding="utf-8")
    (site / "bad_plugin-1.0.dist-info" / "entry_points.txt").write_bytes(text)
    (site / "empty-1.0.dist-info").mkdir()
    assert "good" in registry.METHODS.names()
    if "x" in registry.METHODS.names():
        with pytest.raises(PluginError):
            registry.METHODS.get("x")
    else:
        damaged = [one.distribution for one in registry.installed_points("snibench.methods")[1]]
        assert set(damaged) - {"unknown"} == {"bad-plugin"} or text == b"[a\n= b\n"
