"""Defaults of a request: the only place that names what is installed."""

METHOD = "unified-prompt"  # the baseline
BESIDE = ("untuned", "copy-input", "majority")  # the controls that stand in every table before the baseline
ASKED_ONCE = "untuned"  # asked every question once, whatever is tuned: whose questions are exported
PROTOCOLS = ("gap", "formats", "combos")
FORMAT = "definition"  # of the training prompts
SUITE, SUITE_OF_DATA, SUITE_OF_ROWS = "mini", "sni", "own"  # by itself; of a folder of tasks; of CSV or JSONL
MODEL = "tiny"

# Option of the command -> the setting of a protocol that it is short for.
SHORT = {"gap": "gap.modes", "combos": "combos.modes", "pairs": "combos.pairs", "formats": "formats.formats"}
