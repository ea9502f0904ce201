# Every name that an author may import, and where it is defined.

from snibench.base.bounds import (
    Bounds as Bounds,
)
from snibench.base.bounds import (
    Count as Count,
)
from snibench.base.bounds import (
    Dropout as Dropout,
)
from snibench.base.bounds import (
    Positive as Positive,
)
from snibench.base.bounds import (
    Share as Share,
)
from snibench.base.bounds import (
    Weight as Weight,
)
from snibench.base.errors import (
    DataError as DataError,
)
from snibench.base.errors import (
    PluginError as PluginError,
)
from snibench.base.errors import (
    SnibenchError as SnibenchError,
)
from snibench.base.errors import (
    UsageError as UsageError,
)
from snibench.base.errors import (
    unknown as unknown,
)
from snibench.base.hashing import (
    canonical_json as canonical_json,
)
from snibench.base.hashing import (
    derive_seed as derive_seed,
)
from snibench.base.hashing import (
    digest as digest,
)
from snibench.base.hashing import (
    normalise_input as normalise_input,
)
from snibench.base.registry import (
    EXECUTORS as EXECUTORS,
)
from snibench.base.registry import (
    FORMATS as FORMATS,
)
from snibench.base.registry import (
    METHODS as METHODS,
)
from snibench.base.registry import (
    METRICS as METRICS,
)
from snibench.base.registry import (
    PROTOCOLS as PROTOCOLS,
)
from snibench.base.registry import (
    RULES as RULES,
)
from snibench.base.registry import (
    SAMPLERS as SAMPLERS,
)
from snibench.base.registry import (
    SUITES as SUITES,
)
from snibench.base.types import (
    METHOD as METHOD,
)
from snibench.base.types import (
    Ask as Ask,
)
from snibench.base.types import (
    Column as Column,
)
from snibench.base.types import (
    Combo as Combo,
)
from snibench.base.types import (
    Example as Example,
)
from snibench.base.types import (
    FitRecord as FitRecord,
)
from snibench.base.types import (
    Frame as Frame,
)
from snibench.base.types import (
    Instance as Instance,
)
from snibench.base.types import (
    Mixture as Mixture,
)
from snibench.base.types import (
    ModelInfo as ModelInfo,
)
from snibench.base.types import (
    Prompt as Prompt,
)
from snibench.base.types import (
    Question as Question,
)
from snibench.base.types import (
    Recipe as Recipe,
)
from snibench.base.types import (
    Segment as Segment,
)
from snibench.base.types import (
    SuiteData as SuiteData,
)
from snibench.base.types import (
    SuiteRequest as SuiteRequest,
)
from snibench.base.types import (
    Task as Task,
)
from snibench.base.types import (
    TaskCard as TaskCard,
)
from snibench.base.types import (
    Turn as Turn,
)
from snibench.contracts import (
    Board as Board,
)
from snibench.contracts import (
    Draw as Draw,
)
from snibench.contracts import (
    Encode as Encode,
)
from snibench.contracts import (
    Executor as Executor,
)
from snibench.contracts import (
    Floor as Floor,
)
from snibench.contracts import (
    Format as Format,
)
from snibench.contracts import (
    FormatFlags as FormatFlags,
)
from snibench.contracts import (
    Group as Group,
)
from snibench.contracts import (
    Job as Job,
)
from snibench.contracts import (
    Losses as Losses,
)
from snibench.contracts import (
    Method as Method,
)
from snibench.contracts import (
    Metric as Metric,
)
from snibench.contracts import (
    Needs as Needs,
)
from snibench.contracts import (
    NoSettings as NoSettings,
)
from snibench.contracts import (
    Protocol as Protocol,
)
from snibench.contracts import (
    Recorded as Recorded,
)
from snibench.contracts import (
    Rule as Rule,
)
from snibench.contracts import (
    Sampler as Sampler,
)
from snibench.contracts import (
    Suite as Suite,
)
from snibench.contracts import (
    Work as Work,
)
from snibench.data.natural_instructions import (
    load_task as load_task,
)
from snibench.data.splits import (
    build_suite as build_suite,
)
from snibench.engine.adapted_layers import adapted_layers as adapted_layers
from snibench.engine.adapters import LowRankLayer as LowRankLayer
from snibench.engine.adapters import MixedLinear as MixedLinear
from snibench.engine.adapters import Routing as Routing
from snibench.engine.adapters import adapters_off as adapters_off
from snibench.engine.adapters import draw_down_projections as draw_down_projections
from snibench.engine.adapters import insert as insert
from snibench.engine.adapters import targets_as_named as targets_as_named
from snibench.engine.backbone import (
    Backbone as Backbone,
)
from snibench.engine.backbone import (
    base_of as base_of,
)
from snibench.engine.backbone import (
    virtual_tokens as virtual_tokens,
)
from snibench.engine.embeddings import (
    InstructionEncoder as InstructionEncoder,
)
from snibench.engine.gradients import (
    TaskGradients as TaskGradients,
)
from snibench.engine.loading import (
    load_backbone as load_backbone,
)
from snibench.engine.losses import (
    target_log_likelihoods as target_log_likelihoods,
)
from snibench.engine.losses import (
    target_logits as target_logits,
)
from snibench.engine.losses import (
    target_nll as target_nll,
)
from snibench.engine.packing import (
    Batch as Batch,
)
from snibench.engine.soft_prompts import (
    insert_prefix as insert_prefix,
)
from snibench.engine.soft_prompts import (
    insert_prompt as insert_prompt,
)
from snibench.engine.tallies import (
    Tally as Tally,
)
from snibench.engine.tallies import (
    text_means as text_means,
)
from snibench.engine.tallies import (
    token_mean as token_mean,
)
from snibench.engine.trained_parameters import save_trained as save_trained
from snibench.formats.base import (
    cue as cue,
)
from snibench.formats.base import (
    definition as definition,
)
from snibench.formats.base import (
    instruction as instruction,
)
from snibench.formats.base import (
    prompt_of as prompt_of,
)
from snibench.formats.base import (
    query as query,
)
from snibench.formats.base import (
    with_shots as with_shots,
)
from snibench.methods.base import (
    BaseMethod as BaseMethod,
)
from snibench.methods.base import (
    LoraSettings as LoraSettings,
)
from snibench.methods.base import (
    attach_all as attach_all,
)
from snibench.methods.base import (
    attach_lora as attach_lora,
)
from snibench.models.anatomy import (
    no_place_for_prefix as no_place_for_prefix,
)
from snibench.models.anatomy import (
    no_place_for_prompt as no_place_for_prompt,
)
from snibench.models.find import (
    ModelSource as ModelSource,
)
from snibench.models.find import (
    find_model as find_model,
)
from snibench.plan.learning_rates import (
    usual_rate as usual_rate,
)
from snibench.protocols.choice import (
    chosen_tasks as chosen_tasks,
)
from snibench.protocols.choice import (
    held_out_questions as held_out_questions,
)
from snibench.protocols.panel import (
    panel as panel,
)
from snibench.protocols.panel import (
    source_clusters as source_clusters,
)
from snibench.protocols.panel import (
    task_means as task_means,
)
from snibench.rules import (
    GramRule as GramRule,
)
from snibench.rules import (
    Step as Step,
)
from snibench.rules.mean import (
    Mean as Mean,
)
from snibench.samplers.deck import (
    Deck as Deck,
)
from snibench.samplers.systematic import (
    capped as capped,
)
from snibench.samplers.systematic import (
    systematic as systematic,
)
from snibench.stats.intervals import (
    mean_interval as mean_interval,
)
from snibench.store import (
    write_whole as write_whole,
)
