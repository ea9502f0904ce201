"""Per-task gradients of shared parameters, and their Gram matrix.

Almost every rule in the literature is a function of the Gram matrix ``G G'``, so gradients are collected once and
rules are cheap. Three backends separate the tasks' gradients, and give the same ``G [K, P]`` to rounding:

- ``hooks``: one backward of the summed losses. Rows of a batch are task-major, so a leaf module's input x and output
  gradient dy hold every task's gradient, ``dy_t' x_t`` for a linear layer. For parameters of linear layers,
  embeddings and norms: LoRA, and whole models.
- ``vmap``: one backward through parameters that were copied once per task. For any parameter, as in DoRA, IA3 and
  prompts, if the method's loss does not ask which tasks it sees.
- ``loop``: forward and backward task by task. Any parameter and any loss; the reference.

The first of them that serves is taken, after a look at two tasks has shown that it agrees with plain autograd.
"""

from snibench.engine.gradients.backward_hooks import NotSeparable
from snibench.engine.gradients.collected import Collected, TaskGradients, gram_matrix, layer_of, tensor_of
from snibench.engine.gradients.collector import Backend, GradientCollector

__all__ = [
    "Backend",
    "Collected",
    "GradientCollector",
    "NotSeparable",
    "TaskGradients",
    "gram_matrix",
    "layer_of",
    "tensor_of",
]
