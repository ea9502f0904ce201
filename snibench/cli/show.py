"""``snibench show``: one plugin, class of a file, task or prompt. Imports torch only for a method on a model."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snibench.base.errors import UsageError, unknown
from snibench.base.registry import FORMATS, PROTOCOLS, class_of_file, load_class
from snibench.cli.ls import REGISTRIES, data_option, suite_option
from snibench.cli.outline import Outline, Setting, Unreadable, outline
from snibench.cli.output import console, plain_text

if TYPE_CHECKING:
    from rich.console import Console

    from snibench.base.registry import Entry
    from snibench.base.types import Frame, Prompt, Task
    from snibench.models.find import ModelSource

_FIRST = 3  # instances of a task that are shown
_STYLES = {"instruction": "cyan", "example": "magenta", "history": "blue", "input": "bold green", "cue": "dim"}


@click.command()
@click.argument("name", required=False)
@click.option("--task", metavar="TASK", help="Show this task, or how the format NAME renders its first instance.")
@suite_option
@data_option
@click.option(
    "--model",
    metavar="MODEL",
    help="Show what the method NAME is on it, or with --task the format NAME as it reads it.",
)
@click.option("--revision", metavar="REV", default="", help="Branch, tag or commit of a hub model.")
@click.option("--trust-remote-code", is_flag=True, help="Run Python code from the model's repository.")
def show(
    name: str | None,
    task: str | None,
    suite: str | None,
    data: Path | None,
    model: str | None,
    revision: str,
    trust_remote_code: bool,
) -> None:
    """Describe NAME: its docstring, settings with defaults, and source; of a protocol also its tables.

    NAME is installed, or a class of a file: ./mine.py:Mine, or ./mine.py where it defines a single one. With --model,
    a method as -m takes it, such as 'ours(r=4)+pcgrad': its parameters, learning rate and layers in that model.
    """
    out = console()
    options: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
    if model is None and any(options.values()):
        raise UsageError("--revision and --trust-remote-code are for a model. Name one: --model owner/name")
    if task is not None:
        from snibench.cli.tasks import task_named

        shown = task_named(task, suite, data)
        if name is not None:
            _print_prompt(out, _rendered(name, shown, model, options))
        elif model is not None:
            raise UsageError(
                "--model shows a format's prompt. Name the format: snibench show chat --task TASK --model M"
            )
        else:
            _print_task(out, shown)
        return
    if name is None:
        raise UsageError("Name what to show, such as `snibench show ours`, or a task: --task TASK.")
    if model is not None:
        from snibench.cli.on_model import find_on_model, print_on_model

        found = find_on_model(name, {**options, "model": model, "suite": suite, "data": data})
        _print_plugin(out, found.choice.name)
        print_on_model(out, found, trust_remote_code=trust_remote_code)
        return
    for option, value in (("--suite", suite), ("--data", data)):
        if value is not None:
            raise UsageError(
                f"{option} says whose tasks --task and --model take. Name one of them, or leave {option} out."
            )
    _print_plugin(out, name)


def _rendered(format_name: str, task: Task, model: str | None, options: Mapping[str, Any]) -> Prompt:
    """The prompt of the task's first instance, as a model's tokenizer has it where one is named."""
    from random import Random

    format = FORMATS.get(format_name)()
    if model is not None:
        format = format.bind(_tokenizer(model, options))
    prompt: Prompt = format.render(task.card, task.instances[0].input, Random(0))
    return prompt


def _tokenizer(model: str, options: Mapping[str, Any]) -> Any:
    from snibench.cli.extras import require_train
    from snibench.models.find import find_model

    require_train("A prompt as a model reads it")
    from transformers import AutoTokenizer

    source: ModelSource = find_model(model, **options)
    return AutoTokenizer.from_pretrained(source.folder, trust_remote_code=options["trust_remote_code"])


# ------------------------------------------------------------------------------------ plugins


def _print_plugin(out: Console, name: str) -> None:
    """What is called ``name`` in any group, or the class of a file."""
    reference = class_of_file("class", name)
    if ".py:" in reference:
        _print_class_of_file(out, reference)
        return
    owners = [
        (group, entry) for group, registry in REGISTRIES.items() for entry in registry.entries() if entry.name == name
    ]
    if not owners:
        raise unknown("name", name, {entry for registry in REGISTRIES.values() for entry in registry.names()})
    for group, entry in owners:
        _print_entry(out, group.removesuffix("s"), entry)


def _print_entry(out: Console, noun: str, entry: Entry) -> None:
    _print_title(out, noun, entry.name, f"{entry.distribution} {entry.version}")
    try:
        about = outline(entry.point.value)
    except Unreadable as error:
        if error.certain:
            out.print(plain_text(f"broken: {error}", "red"))
            return
        about = _imported(entry.load())
    _print_about(out, about, f"{entry.name}." if noun == "protocol" else "")
    if noun == "protocol":
        _print_frames(out, entry.load().frames)
    _print_place(out, about)


def _print_class_of_file(out: Console, reference: str) -> None:
    """The class ``path/to/file.py:Class``, read from its source; imported where that does not say what it is."""
    try:
        about = outline(reference)
    except Unreadable:
        about = None
    registry = next((one for one in REGISTRIES.values() if about and about.contracts & {*one.contracts}), None)
    if about is None or registry is None or registry is PROTOCOLS:
        registry, loaded = load_class(reference)
        about = _imported(loaded)
    _print_title(out, registry.noun, reference, "file")
    _print_about(out, about, f"{reference}." if registry is PROTOCOLS else "")
    if registry is PROTOCOLS:
        _print_frames(out, loaded.frames)
    _print_place(out, about)


def _imported(loaded: type) -> Outline:
    """What a class says of itself once its module was run."""
    settings = getattr(loaded, "Settings", None)
    fields = dataclasses.fields(settings) if dataclasses.is_dataclass(settings) else ()
    try:
        path, line = Path(inspect.getfile(loaded)), inspect.getsourcelines(loaded)[1]
    except (OSError, TypeError):  # made at run time
        path, line = Path(f"{loaded.__module__}:{loaded.__qualname__}"), 0
    return Outline(
        doc=inspect.getdoc(loaded) or "",
        settings=tuple(Setting(one.name, _type_of(one.type), _default_of(one)) for one in fields),
        settings_doc=(inspect.getdoc(settings) or "") if fields else "",
        path=path,
        line=line,
        contracts=frozenset(),
    )


def _type_of(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))


def _default_of(field: Any) -> str:
    if field.default is not dataclasses.MISSING:
        return repr(field.default)
    return "" if field.default_factory is dataclasses.MISSING else repr(field.default_factory())


# ------------------------------------------------------------------------------------ drawing


def _print_title(out: Console, noun: str, name: str, origin: str) -> None:
    out.print(plain_text(f"{noun} {name}", "bold cyan"), plain_text(f"({origin})", "dim"), soft_wrap=True)


def _print_place(out: Console, about: Outline) -> None:
    place = f"{about.path}:{about.line}" if about.line else str(about.path)
    out.print(plain_text(f"\nCode: {place}", "dim"), soft_wrap=True)


def _prose(docstring: str) -> Any:
    """A docstring whose paragraphs fold at the terminal's width; indented lines stay as they are."""
    paragraphs = docstring.replace("``", "`").split("\n\n")
    return plain_text("\n\n".join(one if "\n " in one else " ".join(one.split("\n")) for one in paragraphs))


def _print_about(out: Console, about: Outline, prefix: str) -> None:
    """Docstring and settings."""
    from rich.table import Table

    out.print(_prose(about.doc or "No docstring."))
    if not about.settings:
        return
    out.print(plain_text(f"\nSettings (--set {prefix}NAME=VALUE)", "bold"))
    table = Table.grid(padding=(0, 2))
    for setting in about.settings:
        default = plain_text(setting.default or "required")
        table.add_row(plain_text(f"  {setting.name}"), default, plain_text(setting.type, "dim"))
    out.print(table)
    if about.settings_doc:
        out.print()
        out.print(_prose(about.settings_doc))


def _print_frames(out: Console, frames: Mapping[str, Frame]) -> None:
    """The tables of a protocol: of each its columns, as CSV and JSON name them, with their headings and meanings."""
    from rich.table import Table

    for name, frame in frames.items():
        out.print(plain_text(f"\nTable {name}", "bold"), plain_text(f"({frame.title})", "dim"))
        table = Table.grid(padding=(0, 2))
        for column in (*frame.keys, *frame.columns):
            table.add_row(
                plain_text(f"  {column.field}"), plain_text(column.title, "dim"), plain_text(column.description)
            )
        out.print(table)


def _print_task(out: Console, task: Task) -> None:
    """A task's card, its examples and its first instances."""
    card = task.card
    out.print(plain_text(f"task {card.name}", "bold cyan"))
    out.print(plain_text(card.definition), soft_wrap=True)
    labels = "open" if card.labels is None else ", ".join(card.labels)
    about = {"Category": card.category, "Domains": ", ".join(card.domains), "Sources": ", ".join(card.sources)}
    about |= {"Labels": labels, "Metric": card.metric, "Instances": f"{len(task.instances):,}"}
    out.print()
    for title, value in about.items():
        if value:
            out.print(plain_text(f"{title}: {value}"), soft_wrap=True)
    shown = [("Positive example", one.input, one.output) for one in card.positive]
    shown += [("Negative example", one.input, one.output) for one in card.negative]
    shown += [(one.id, one.input, " | ".join(one.outputs)) for one in task.instances[:_FIRST]]
    for title, question, answer in shown:
        out.print(plain_text(f"\n{title}", "bold"))
        out.print(plain_text(question), soft_wrap=True)
        out.print(plain_text(f"-> {answer}", "green"), soft_wrap=True)


def _print_prompt(out: Console, prompt: Prompt) -> None:
    from rich.text import Text

    if out.color_system:
        legend = [
            part
            for role in _STYLES
            if role in {s.role for s in prompt.segments}
            for part in ((role, _STYLES[role]), " ")
        ]
        out.print(Text.assemble(*legend), style="italic")
    out.print(Text.assemble(*(plain_text(one.text, _STYLES[one.role]) for one in prompt.segments)), soft_wrap=True)
