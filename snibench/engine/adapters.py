"""Trainable layers that peft has not, and how they get into a model.

All are LoRA with something between the two products: ``h = W x + (alpha/r) B mix(A x, x)``. ``A`` and ``B`` are plain
``nn.Linear`` modules, so that the hooks of ``gradients`` see every task's gradient in one backward.
One ``Routing``, shared by all layers of a model, says which row belongs to which task.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from snibench.base.hashing import derive_seed
from snibench.engine.adapted_layers import adapted_layers, sizes_of
from snibench.engine.backbone import base_of


@dataclass
class Routing:
    """Tasks and mixture weights of the rows of the current forward pass. Set by a method, read by its layers.

    ``tables`` holds what a layer needs per distinct task of the pass (``[K, ...]`` tensors by layer or shared), and
    ``rows [B]`` says which of them each row uses.
    """

    rows: Tensor | None = None
    tables: dict[str, Any] = field(default_factory=dict)

    def by_row(self, values: Tensor) -> Tensor:
        """``[B, L, n]`` from what a layer computes: some models hand it the tokens of all rows as ``[B * L, n]``."""
        assert self.rows is not None
        return values.reshape(len(self.rows), -1, values.shape[-1])

    @contextmanager
    def using(self, rows: Tensor, **tables: Any) -> Iterator[None]:
        """Active inside: these rows and tables."""
        before = self.rows, self.tables
        self.rows, self.tables = rows, tables
        try:
            yield
        finally:
            self.rows, self.tables = before


class MixedLinear(nn.Linear):
    """A linear layer without bias whose weight stays float32 for the optimizer while its product has the input's dtype.

    In float32 it is ``nn.Linear``. In bfloat16 it spares every adapted layer the copies of input and update into
    float32 and back, a fifth of a step. Updates are not lost: they go to the float32 weight.
    """

    def forward(self, input: Tensor) -> Tensor:
        """``[..., in] -> [..., out]``, in the input's dtype."""
        return nn.functional.linear(input, self.weight.to(input.dtype))


class AdapterLayer(nn.Module):
    """A frozen linear layer with something trainable beside it, off unless ``enabled``."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base_layer = base
        self.in_features, self.out_features = sizes_of(base)
        self.enabled = True

    @property
    def weight(self) -> Tensor:
        """The base layer's weight: some models look at its dtype."""
        return cast(Tensor, self.base_layer.weight)

    def down_projections(self) -> Sequence[Tensor]:
        """Every ``A`` of the layer; all start from the same values."""
        raise NotImplementedError


class LowRankLayer(AdapterLayer):
    """A frozen linear layer with a trainable low-rank update ``scale * B(mix(A(x), x))``, off unless ``enabled``.

    ``A`` starts Kaiming uniform (a = sqrt 5, as peft), ``B`` at zero: at the start the layer is its base. ``dropout``
    is of what ``A`` reads, as in peft.
    """

    def __init__(self, base: nn.Module, rank: int, width: int, scale: float, dropout: float = 0.0) -> None:
        super().__init__(base)
        options: dict[str, Any] = {"bias": False, "device": self.weight.device, "dtype": torch.float32}
        self.A = MixedLinear(self.in_features, rank, **options)
        self.B = MixedLinear(width, self.out_features, **options)
        nn.init.zeros_(self.B.weight)
        self.scale = scale
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()

    def down_projections(self) -> Sequence[Tensor]:
        """``A`` alone."""
        return (self.A.weight,)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, L, in] -> [B, L, out]``, or ``[B * L, in] -> [B * L, out]``, in the base layer's dtype."""
        plain: Tensor = self.base_layer(x)
        if not self.enabled:
            return plain
        update: Tensor = self.B(self.mix(self.A(self.dropout(x)), x).to(x.dtype))
        return torch.add(plain, update, alpha=self.scale)

    def mix(self, u: Tensor, x: Tensor) -> Tensor:
        """``u [..., rank] -> [..., width]``: what a subclass puts between the products; ``x [..., in]``."""
        raise NotImplementedError


class TaskRoutedLayer(LowRankLayer):
    """MTL-LoRA: ``sum_i softmax(omega_t / tau)_i B_i Lambda_t A x``.

    The n matrices ``B_i`` stand side by side in one linear layer. ``transform [T, r, r]`` starts at identity
    (``[T, r]`` of ones if diagonal), ``routing [T, n]`` uniform in +-1/sqrt(n): equal values would keep all ``B_i``
    equal for ever.

    Source: Yang et al., MTL-LoRA (AAAI 2025), and its repository's ``src/adapter/mlora.py``.
    """

    def __init__(
        self,
        base: nn.Module,
        *,
        tasks: int,
        rank: int,
        scale: float,
        experts: int,
        temperature: float,
        diagonal: bool,
        state: Routing,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(base, rank, rank * experts, scale, dropout)
        device = self.weight.device
        one = torch.ones(rank) if diagonal else torch.eye(rank)
        self.transform = nn.Parameter(one.repeat(tasks, *[1] * one.dim()).to(device))
        self.routing = nn.Parameter(torch.empty(tasks, experts, device=device).uniform_(-1, 1) / math.sqrt(experts))
        self.temperature = temperature
        self.state = state

    def mix(self, u: Tensor, x: Tensor) -> Tensor:
        """Each row through its task's transform and shares of the ``B_i``, or through a mixture of tasks."""
        share = torch.softmax(self.routing / self.temperature, dim=-1)  # [T, n]
        matrix = torch.diag_embed(self.transform) if self.transform.dim() == 2 else self.transform  # [T, r, r]
        if (mixture := self.state.tables.get("mixture")) is None:
            task = self.state.tables["tasks"]  # [K]
            routed = share[task][:, :, None, None] * matrix[task][:, None]  # [K, n, r, r]
        else:
            # Exact: N_i = sum_t p_t softmax_ti Lambda_t. Averaging the two factors apart is another map.
            routed = torch.einsum("kt,tn,trs->knrs", mixture, share, matrix)
        mixed = torch.einsum("bls,bnrs->blnr", self.state.by_row(u), routed[self.state.rows].to(u.dtype))
        return mixed.reshape(*u.shape[:-1], -1)


class ModulatedLayer(LowRankLayer):
    """LoRA whose ranks are scaled by the instruction: ``B diag(1 + s tanh(U z)) A x``, ``z [K, q]`` per task.

    ``U`` starts at zero, so that the layer starts as LoRA and the base. A rank is scaled within 1 - s .. 1 + s: never
    flipped, never lost.
    """

    def __init__(
        self,
        base: nn.Module,
        *,
        rank: int,
        scale: float,
        features: int,
        strength: float,
        state: Routing,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(base, rank, rank, scale, dropout)
        self.U = nn.Linear(features, rank, bias=False, device=self.weight.device)
        nn.init.zeros_(self.U.weight)
        self.strength = strength
        self.state = state

    def modulation(self, z: Tensor) -> Tensor:
        """``tanh(U z)``, ``[K, q] -> [K, r]`` in (-1, 1)."""
        return torch.tanh(self.U(z))

    def mix(self, u: Tensor, x: Tensor) -> Tensor:
        """Each row's ranks scaled by its task's modulation; none without an instruction representation."""
        z = self.state.tables.get("z")
        if z is None:
            return u
        factors = (1 + self.strength * self.modulation(z))[self.state.rows][:, None, :].to(u.dtype)
        return (self.state.by_row(u) * factors).view_as(u)


class TokenRoutedLayer(LowRankLayer):
    """HydraLoRA: ``sum_i softmax(R x)_i B_i A x``, every token routed by itself, whatever its task.

    The n matrices ``B_i`` stand side by side in one linear layer. The router ``R`` (Kaiming uniform as ``A``, no bias)
    differs by expert from the start, which parts the ``B_i``. Softmax in float32; no term that balances the load.

    Source: Tian et al., HydraLoRA (NeurIPS 2024), and its repository's ``peft/tuners/lora.py``.
    """

    def __init__(self, base: nn.Module, *, rank: int, scale: float, experts: int, dropout: float = 0.0) -> None:
        super().__init__(base, rank, rank * experts, scale, dropout)
        self.R = MixedLinear(self.in_features, experts, bias=False, device=self.weight.device, dtype=torch.float32)
        nn.init.kaiming_uniform_(self.R.weight, a=math.sqrt(5))

    def mix(self, u: Tensor, x: Tensor) -> Tensor:
        """Each token's shares of the ``B_i``."""
        share = torch.softmax(self.R(x), dim=-1, dtype=torch.float32)  # [..., n]
        return (share[..., None] * u[..., None, :]).flatten(-2)


def insert(model: nn.Module, make: Callable[[nn.Module], AdapterLayer]) -> list[AdapterLayer]:
    """Replace every one of ``adapted_layers`` by ``make(layer)``; the new layers, in module order."""
    base = base_of(model)
    layers = []
    for name in adapted_layers(model):
        parent, _, attribute = name.rpartition(".")
        layer = make(base.get_submodule(name))
        setattr(base.get_submodule(parent), attribute, layer)
        layers.append(layer)
    return layers


@contextmanager
def targets_as_named() -> Iterator[None]:
    """Inside, peft adapts the modules that a config names.

    Else, for models whose experts were linear layers in transformers 4, it takes every layer called as those were
    (``gate_proj`` of a dense block or a shared expert, too) for the experts of now.
    """
    from peft.utils import transformers_weight_conversion as conversion

    convert = conversion.convert_peft_config_for_transformers
    conversion.convert_peft_config_for_transformers = lambda *args, **kwargs: None
    try:
        yield
    finally:
        conversion.convert_peft_config_for_transformers = convert


def keep_products_in_input_dtype(model: nn.Module) -> None:
    """Make peft's LoRA layers in ``model`` multiply as ``MixedLinear`` does, not in their weights' float32."""
    from peft.tuners.lora import LoraLayer

    for module in model.modules():
        if isinstance(module, LoraLayer):
            module.cast_input_dtype_enabled = False
            for products in (module.lora_A, module.lora_B):
                for name, plain in products.items():
                    assert isinstance(plain, nn.Linear)
                    mixed = MixedLinear(plain.in_features, plain.out_features, bias=False, device="meta")
                    mixed.weight = plain.weight
                    products[name] = mixed


def draw_down_projections(model: nn.Module, seed: int) -> None:
    """Draw every adapter's ``A`` anew from ``seed`` and the layer's name, Kaiming uniform with a = sqrt 5.

    So all methods with an ``A`` of one shape start from the same values, whatever else they draw.
    """
    for name, module in base_of(model).named_modules():
        weights: Sequence[Tensor] = ()
        if isinstance(module, AdapterLayer):
            weights = module.down_projections()
        elif name.endswith(".lora_A.default") and isinstance(module, nn.Linear):
            weights, name = (module.weight,), name.removesuffix(".lora_A.default")
        for weight in weights:
            generator = torch.Generator().manual_seed(derive_seed("A", seed, name))
            fresh = torch.empty(weight.shape)
            nn.init.kaiming_uniform_(fresh, a=math.sqrt(5), generator=generator)
            with torch.no_grad():
                weight.copy_(fresh)


@contextmanager
def adapters_off(model: nn.Module) -> Iterator[None]:
    """The frozen base inside, whatever adapter layers the model carries, ours or peft's."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    own = [module for module in model.modules() if isinstance(module, AdapterLayer)]
    foreign = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    try:
        _switch(own, foreign, on=False)
        yield
    finally:
        _switch(own, foreign, on=True)


def _switch(own: Sequence[AdapterLayer], foreign: Sequence[Any], *, on: bool) -> None:
    for layer in own:
        layer.enabled = on
    for layer in foreign:
        layer.enable_adapters(on)


def rows_of(items: Sequence[Any]) -> tuple[list[Any], list[int]]:
    """The distinct items in order of appearance, and for every item its index among them."""
    index: dict[Any, int] = {}
    rows = [index.setdefault(item, len(index)) for item in items]
    return list(index), rows
