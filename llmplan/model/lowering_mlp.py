"""MLPs and banks of experts as matrices."""

from __future__ import annotations

from llmplan.model.layer import Linear, Role
from llmplan.model.lowering_parts import Part
from llmplan.model.spec import ModelSpec


def dense(spec: ModelSpec, width: int) -> Part:
    """One MLP of `width`: gate (where there is one), up, down."""
    linears = _matrices(spec, "mlp", spec.hidden, width, bias=spec.mlp_bias)
    return Part("mlp", linears, activation_elements=_elements(spec, width))


def moe(spec: ModelSpec) -> Part:
    """Router, routed experts of which a token takes some, and experts that every token takes."""
    width = spec.expert_ffn_hidden or 0
    linears = [Linear("router", "router", spec.hidden, spec.experts)]
    inputs = spec.expert_latent or spec.hidden
    if spec.expert_latent is not None:
        linears.append(Linear("latent_down", "projection", spec.hidden, spec.expert_latent, saves_input=False))
    linears += _matrices(
        spec, "expert", inputs, width, bias=spec.expert_bias, experts=spec.experts, active=spec.experts_per_token
    )
    if spec.expert_latent is not None:
        linears.append(Linear("latent_up", "projection", spec.expert_latent, spec.hidden))
    elements = spec.experts_per_token * _elements(spec, width)
    if spec.shared_experts:
        # several shared experts are one MLP as wide as all of them together
        shared = spec.shared_experts * (spec.shared_expert_ffn_hidden or width)
        linears += _matrices(spec, "shared", spec.hidden, shared, bias=spec.expert_bias)
        elements += _elements(spec, shared)
        if spec.shared_expert_gate:
            linears.append(Linear("shared_router", "shared_gate", spec.hidden, 1, saves_input=False))
    return Part("moe", tuple(linears), extra_parameters=spec.experts * spec.router_bias, activation_elements=elements)


def _elements(spec: ModelSpec, width: int) -> float:
    return (2.0 if spec.gated_mlp else 1.0) * width


_KINDS: dict[str, tuple[str, Role, Role]] = {
    "mlp": ("", "mlp_in", "mlp_out"),
    "expert": ("expert_", "expert_in", "expert_out"),
    "shared": ("shared_", "shared_in", "shared_out"),
}
"""An MLP of one kind: what its matrices' names begin with, and their roles."""


def _matrices(
    spec: ModelSpec, kind: str, inputs: int, width: int, *, bias: bool, experts: int = 1, active: int = 1
) -> tuple[Linear, ...]:
    prefix, into, out_of = _KINDS[kind]
    bank = {"bias": bias, "experts": experts, "active": active}
    first = ("gate", "up") if spec.gated_mlp else ("up",)
    linears = [
        Linear(prefix + name, into, inputs, width, "column", saves_input=index == 0, **bank)  # type: ignore[arg-type]
        for index, name in enumerate(first)
    ]
    return (*linears, Linear(prefix + "down", out_of, width, inputs, "row", **bank))  # type: ignore[arg-type]
