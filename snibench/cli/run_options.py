"""The options of ``snibench run``, under the headings of its ``--help``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from click import Option

from snibench.base.types import Recipe
from snibench.base.types.fits import CLIP, WARMUP
from snibench.cli.config import read_config
from snibench.cli.parameters import CommaList, Count, Number, PerStep, Positive, Seeds
from snibench.cli.places import AnyPath, NewFile
from snibench.plan import defaults

_RECIPE = Recipe(steps=1)
OPTIONS: Mapping[str, Sequence[Option]] = {
    "Methods": (
        Option(
            ["-m", "--method", "methods"],
            multiple=True,
            required=True,
            metavar="NAME",
            help="Method; repeat for several. Or 'NAME(key=value,...)', NAME+RULE, NAME@SAMPLER, or FILE.py:Class.",
        ),
        Option(
            ["--baseline"],
            default=defaults.METHOD,
            show_default=True,
            metavar="NAME",
            help="What the methods are compared with; NAME(key=value) as for -m.",
        ),
        Option(
            ["--no-baseline"], is_flag=True, help="Run neither the baseline, nor the untuned model, nor the floors."
        ),
        Option(
            ["--rule"],
            default="",
            metavar="NAME",
            help="How task gradients combine, in place of the method's own rule.",
        ),
        Option(
            ["--sampler"],
            default="",
            metavar="NAME",
            help="Which tasks a step draws, in place of the order that all methods share; not where a protocol weighs "
            "tasks.",
        ),
        Option(
            ["--set", "assignments"],
            multiple=True,
            metavar="KEY=VALUE",
            help="A setting of method, rule or sampler (`snibench show NAME` lists them); rule.KEY and sampler.KEY are "
            "theirs where the method has one of that name.",
        ),
        Option(
            ["--set-all", "everywhere"], multiple=True, metavar="KEY=VALUE", help="Like --set, for the baseline, too."
        ),
        Option(
            ["--ablate"], is_flag=True, help="Also run each method without one of its parts: every switch that is on."
        ),
    ),
    "Data": (
        Option(
            ["--suite"],
            metavar="NAME",
            help=f"{defaults.SUITE} (default), or with --data {defaults.SUITE_OF_DATA} or {defaults.SUITE_OF_ROWS}, by "
            "what is there.",
        ),
        Option(
            ["--data"],
            type=AnyPath(),
            metavar="PATH",
            help="Folder of tasks in the official layout, or your own rows: a .csv, .tsv or .jsonl file, or a folder "
            "of such, with the columns input and output (docs/data.md).",
        ),
        Option(
            ["--split"],
            metavar="NAME",
            help="sni: official (default) or families; drawn (default with own): a quarter of the tasks unseen; or a "
            "folder with split lists.",
        ),
        Option(["--categories"], type=CommaList(), default=(), help="Only tasks of these categories."),
        Option(["--tasks"], type=Count(2), help="At most N seen tasks; unseen ones in proportion."),
        Option(["--instances"], type=Count(), help="Evaluation instances per task."),
        Option(["--allow-leak"], is_flag=True, help="Keep training data that also stands on the unseen side; marked."),
        Option(["--partial"], is_flag=True, help="Go on where split lists name tasks that are not there."),
    ),
    "Model": (
        Option(
            ["--model"],
            default=defaults.MODEL,
            show_default=True,
            metavar="SPEC",
            help="tiny, a model folder, a .gguf file, or a hub id.",
        ),
        Option(["--revision"], default="", metavar="NAME", help="Branch, tag or commit of a hub model."),
        Option(
            ["--precision"],
            type=click.Choice(["auto", "float32", "bfloat16"]),
            default="auto",
            show_default=True,
            help="Of the base model.",
        ),
        Option(["--trust-remote-code"], is_flag=True, help="Run code that comes with the model."),
        Option(["--max-input"], type=Count(16), default=1024, show_default=True, help="Prompt tokens."),
        Option(["--max-output"], type=Count(), default=128, show_default=True, help="Answer tokens."),
    ),
    "Recipe": (
        Option(
            ["--profile"],
            type=click.Choice(["quick", "paper"]),
            help="quick (default with mini) or paper. Default with other suites: by their size.",
        ),
        Option(["--seeds"], type=Seeds(), help="Training seeds, 0,1,2 or 0-4 (quick: 0-3; paper: 0-2)."),
        Option(["--steps"], type=Count(), help="Training steps (quick: 90; paper: 4725; else by the suite's size)."),
        Option(
            ["--per-step"], type=PerStep(), default="8,4", show_default=True, help="Tasks per step, instances of each."
        ),
        Option(
            ["--train-format"],
            default=defaults.FORMAT,
            show_default=True,
            metavar="NAME,...",
            help="Format of the training prompts; of several, one is drawn for each task in each step.",
        ),
        Option(["--learning-rate"], type=Positive(), help="Default: by method and model size."),
        Option(
            ["--optimizer"],
            type=click.Choice(["adamw", "sgd", "muon"]),
            default="adamw",
            show_default=True,
            help="muon: of matrices, AdamW of the rest.",
        ),
        Option(
            ["--schedule"],
            type=click.Choice(["constant", "averaged", "linear", "cosine"]),
            default="linear",
            show_default=True,
            help="Of the learning rate after the warm-up; linear and cosine fall to zero. averaged: constant, and the "
            "mean of the parameters over the last quarter of the steps is kept.",
        ),
        Option(
            ["--warmup"],
            type=Number(WARMUP),
            help=f"Share of the steps in which the learning rate rises (default: {_RECIPE.warmup:g}).",
        ),
        Option(
            ["--clip"],
            type=Number(CLIP),
            help=f"Longest gradient, as a norm; 0: not clipped (default: {_RECIPE.clip:g}).",
        ),
        Option(
            ["--tune-budget"],
            type=Count(),
            default=1,
            show_default=True,
            metavar="N",
            help="Choose each method's learning rate from N trials on held-back training instances of seen tasks.",
        ),
        Option(["--tune-steps"], type=Count(), help="Steps of a trial (default: of a fit)."),
    ),
    "Protocols": (
        Option(
            ["--protocol", "protocols"],
            multiple=True,
            metavar="NAME",
            help=f"Default: {', '.join(defaults.PROTOCOLS)}.",
        ),
        Option(["--formats"], type=CommaList(), help="Formats that the protocol `formats` compares; * and ? match."),
        Option(
            ["--gap"],
            type=CommaList(),
            metavar="MODE,...",
            help="Of the protocol `gap`: split (default), crossfit (two more fits a seed, on half of the seen tasks "
            "each).",
        ),
        Option(
            ["--combos"],
            type=CommaList(),
            metavar="MODE,...",
            help="Of the protocol `combos`: switch (default), train (fits on mixtures of two families), train-lite "
            "(1:1 only).",
        ),
        Option(
            ["--pair", "pairs"],
            multiple=True,
            metavar="NAME=A,.../B,...",
            help="Two families for `combos`, of categories and tasks, in place of the suite's own; repeat for several.",
        ),
        Option(["--limit"], type=Count(), help="Questions per task, format and protocol."),
        Option(
            ["--rank-labels"],
            is_flag=True,
            help="Also rank the labels of closed tasks; the score stays that of what is said.",
        ),
        Option(
            ["--conflict"],
            type=click.Choice(["off", "ends", "full"]),
            default="ends",
            show_default=True,
            help="When to measure gradient conflict.",
        ),
    ),
    "Runtime": (
        Option(["--device"], default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps."),
        Option(
            ["--executor"],
            default="auto",
            show_default=True,
            metavar="NAME",
            help="inline: fits one after the other; processes: side by side, a thread each; ray: on a cluster, "
            "'ray(address=...)'; auto: the faster of the first two (profile quick).",
        ),
        Option(
            ["--jobs"],
            type=Count(),
            metavar="N",
            help="Fits side by side (default: the processor's cores); their number changes no result.",
        ),
        Option(
            ["--distributed"],
            type=Count(),
            default=1,
            show_default=True,
            metavar="N",
            help="Processes that tune one fit together, on this machine: each reads its share of a step, on a GPU of "
            "its own or with the fit's threads.",
        ),
        Option(["--batch-size"], default="auto", show_default=True, help="Prompts answered at once."),
        Option(
            ["--overwrite"],
            type=click.Choice(["never", "failed", "always"]),
            default="never",
            show_default=True,
            help="Which stored fits to repeat.",
        ),
        Option(
            ["--fit-timeout"],
            type=Positive(),
            metavar="SECONDS",
            help="Longest time of one fit, loading apart; beyond it the fit is recorded as failed, and others go on.",
        ),
    ),
    "Files": (
        Option(
            ["--config"],
            type=AnyPath(),
            is_eager=True,
            expose_value=False,
            callback=read_config,
            help="TOML file with these options; flags override it.",
        ),
        Option(["--save-config"], type=NewFile(), help="Also write these options as a file for --config."),
        Option(
            ["-o", "--output-dir"],
            type=AnyPath(),
            default=Path("runs"),
            show_default=True,
            help="Where results lie.",
        ),
        Option(
            ["--report-to"],
            type=CommaList(),
            default=(),
            metavar="NAME,...",
            help="Log every fit to experiment trackers: tensorboard (in logs/ of the output folder), wandb, mlflow, "
            "trackio.",
        ),
        Option(["--json", "json_file"], type=NewFile(), help="Also write every number here."),
        Option(["--dry-run"], is_flag=True, help="Show what would be done, and stop."),
        Option(
            ["--probe"],
            is_flag=True,
            help="With --dry-run: time, memory and disk of each fit, from a real step and a real batch of answers. "
            "Kept in the output folder, and compared in each record with what the fit took.",
        ),
    ),
}
NOTES: Mapping[str, str] = {
    "Environment": "GLIBC_TUNABLES: on Linux with glibc the command restarts itself once with a heap that does not "
    "grow while it trains (docs/performance.md). Set this variable, to nothing if you like, and it does not."
}
