"""Suite ``sni``: Super-NaturalInstructions from a folder, English track.

Source:
    Wang et al., Super-NaturalInstructions, EMNLP 2022; split lists and files of allenai/natural-instructions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import ClassVar, Final, final

from snibench.base import reading
from snibench.base.errors import DataError, UsageError, unknown
from snibench.base.hashing import normalise_answer, normalise_input
from snibench.base.types import Combo, SuiteData, SuiteRequest, Task
from snibench.contracts import Suite
from snibench.data.leakage import origins
from snibench.data.natural_instructions import GET_THE_DATA, Head, load_task, read_head, task_files
from snibench.data.sides import Described, choose_sides
from snibench.data.split_lists import DRAWN, Lists, drawn, list_prefix, present, read_list, read_lists
from snibench.data.splits import build_suite

HELD_OUT = 100  # evaluation instances per task, as in the official test set

# The task types of the paper's Figure 3; split `families` keeps them unseen.
FAMILIES = frozenset(
    {"Sentiment Analysis", "Intent Identification", "Text Categorization", "Commonsense Classification"}
)
# What the figure calls Commonsense QA beyond Commonsense Classification. The category Question Answering holds too
# much else, so that these are listed: questions of data sets made to test commonsense.
COMMONSENSE_QA = frozenset(
    {
        "task024_cosmosqa_answer_generation",
        "task073_commonsenseqa_answer_generation",
        "task080_piqa_answer_generation",
        "task165_mcscript_question_answering_commonsense",
        "task580_socialiqa_answer_generation",
        "task820_protoqa_answer_generation",
        "task1135_xcsr_en_commonsense_mc_classification",
    }
)

_QUESTION_ANSWERING: Final = "Question Answering"
# The pairs of the paper's Figure 4, by category.
COMBOS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Paraphrase + NLI": (("Text Matching", "Paraphrasing"), ("Textual Entailment",)),
    "Intent + Commonsense": (("Intent Identification", "Dialogue Act Recognition"), ("Commonsense Classification",)),
    "Classification + Slot Filling": (
        ("Text Categorization", "Sentiment Analysis"),
        ("Information Extraction", "Dialogue State Tracking"),
    ),
    "NER + Abstractive QA": (("Named Entity Recognition",), (_QUESTION_ANSWERING,)),
}


@final
class Sni(Suite):
    """Super-NaturalInstructions from a folder in the official layout.

    Splits: ``official`` (the published lists of the English track, kept as published), ``families`` (the task types
    of the paper's Figure 3 unseen, everything else seen), ``drawn`` (of all tasks in the folder a quarter unseen, at
    least four, or half of fewer than eight), the name of a folder in ``splits/``, or the path of a folder,
    or a prefix, with ``train_tasks.txt`` and ``test_tasks.txt``.
    """

    reads_data: ClassVar[bool] = True
    homepage: ClassVar[str] = "https://github.com/allenai/natural-instructions"

    def load(self, request: SuiteRequest) -> SuiteData:
        """The suite under ``request``; of the instances, only those of the chosen tasks are read.

        Raises:
            DataError: If a file or list is missing or malformed; names it.
            UsageError: If there is no ``request.data``, or no such split.
        """
        if request.data is None:
            raise UsageError(f"Suite 'sni' reads its tasks from a folder. Get them: {GET_THE_DATA}.")
        folder = Path(request.data)
        files = task_files(folder)
        split = request.split or "official"
        remedy = f"Complete the folder ({GET_THE_DATA})"
        wanted = Lists(tuple(files), ()) if split == DRAWN else _lists(folder, split)
        lists, notes = present(wanted, files, split, partial=request.partial, remedy=remedy)
        heads = {name: read_head(files[name]) for name in (*lists.seen, *lists.unseen)}
        lists, left_out = _english(lists, heads)
        if split == "families":
            lists = _by_family(lists, heads)
        elif split == DRAWN:
            lists = drawn({name: heads[name].category for name in lists.seen}, request.seed)
        kept_as_published = split == "official"

        load = cache(lambda name: load_task(files[name]))
        sides = choose_sides(
            heads,
            lists.seen,
            lists.unseen,
            request,
            combos=_combos(heads, lambda name: True),
            drop_seen_on_source_overlap=not kept_as_published,
            suits_combo=lambda name: suits_combo(load(name)),
        )
        tasks = {name: load(name) for name in (*sides.seen, *sides.unseen)}
        return build_suite(
            f"sni/{split}",
            tasks,
            sides.seen,
            sides.unseen,
            request,
            combos=_combos({name: task.card for name, task in tasks.items()}, lambda name: suits_combo(tasks[name])),
            drop_seen_on_source_overlap=not kept_as_published,
            held_out=HELD_OUT,
            notes=(*notes, *left_out, *sides.notes),
            published_pools=_published_pools(folder),
        )


def suits_combo(task: Task) -> bool:
    """Whether a stream of ``task``'s questions can tell anything.

    It has at least 100 instances, more than one label, and none with nine tenths of them. A question answering task
    is open, and fewer than half of its answers stand in their input: that is what abstractive means here.
    """
    labels = Counter(normalise_answer(instance.outputs[0]) for instance in task.instances)
    if len(task.instances) < 100 or max(labels.values()) >= 0.9 * len(task.instances):
        return False
    if task.card.category != _QUESTION_ANSWERING:
        return True
    inside = sum(normalise_input(i.outputs[0]) in normalise_input(i.input) for i in task.instances)
    return task.card.labels is None and 2 * inside < len(task.instances)


def _combos(cards: Mapping[str, Described], suits: Callable[[str], bool]) -> list[Combo]:
    """``COMBOS`` over the tasks that suit, no source on both sides: it stays on the shorter one."""
    combos = []
    for name, categories in COMBOS.items():
        a, b = ([task for task, card in cards.items() if card.category in side and suits(task)] for side in categories)
        if len(a) > len(b):
            a = _without_sources(a, b, cards)
        else:
            b = _without_sources(b, a, cards)
        combos.append(Combo(name, tuple(a), tuple(b)))
    return combos


def _without_sources(tasks: Sequence[str], others: Iterable[str], cards: Mapping[str, Described]) -> list[str]:
    taken = {origin for other in others for origin in origins(cards[other].sources)}
    return [task for task in tasks if taken.isdisjoint(origins(cards[task].sources))]


def _lists(folder: Path, split: str) -> Lists:
    if split in ("official", "families"):
        if not reading.is_folder(folder / "splits" / "default"):
            raise DataError(
                f"{folder} has no splits/default, which split '{split}' needs. Pass --split drawn, or --split FOLDER "
                f"with train_tasks.txt and test_tasks.txt, or get the data: {GET_THE_DATA}."
            )
        return read_lists(f"{folder / 'splits' / 'default'}/")
    if (prefix := list_prefix(split, folder)) is None:
        tracks = [path.name for path in folder.glob("splits/*") if path.is_dir()]
        raise unknown("split (or path of split lists)", split, ["official", "families", DRAWN, *tracks])
    return read_lists(prefix)


def _english(lists: Lists, heads: Mapping[str, Head]) -> tuple[Lists, list[str]]:
    """The tasks all of whose languages are English: the metrics know no other."""
    foreign = [name for name, head in heads.items() if head.languages - {"English"}]
    if not foreign:
        return lists, []
    seen, unseen = (tuple(name for name in side if name not in foreign) for side in (lists.seen, lists.unseen))
    return Lists(seen, unseen), [f"{len(foreign)} tasks that are not all English were left out, {foreign[0]} first."]


def _by_family(official: Lists, heads: Mapping[str, Head]) -> Lists:
    """Of the official train tasks, the families unseen; the rest, and the official test tasks, seen."""
    unseen = tuple(name for name in official.seen if heads[name].category in FAMILIES or name in COMMONSENSE_QA)
    return Lists(tuple(name for name in (*official.seen, *official.unseen) if name not in unseen), unseen)


def _published_pools(folder: Path) -> frozenset[str]:
    """The tasks whose files begin with the official evaluation instances, of either track."""
    paths = (folder / "splits" / track / "test_tasks.txt" for track in ("default", "xlingual"))
    return frozenset(name for path in paths if path.is_file() for name in read_list(path))
