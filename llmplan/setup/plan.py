"""The plan: everything that an estimate needs, resolved and checked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from llmplan.machine.hardware import Cluster, Device
from llmplan.model.model import Model
from llmplan.setup.layout import Layout, Workload
from llmplan.software.engine import ServingWorkload
from llmplan.software.stack import Stack


@dataclass(frozen=True, slots=True)
class PlanWarning:
    """Something that the user should know about an answer: a stable code and a sentence."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Model x cluster x layout x workload (+ stack), with what was assumed on the way.

    serving: what is served, where the workload is `serve`; inputs: what the user said, in the vocabulary of
    the options; assumptions: what was filled in.
    """

    model: Model
    device: Device
    cluster: Cluster
    layout: Layout
    workload: Workload
    stack: Stack
    serving: ServingWorkload | None = None
    inputs: dict[str, Any] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    warnings: tuple[PlanWarning, ...] = ()

    @property
    def devices(self) -> int:
        """Devices that the layout takes [1]."""
        return self.layout.devices

    def with_layout(self, layout: Any) -> Plan:
        """The same plan with another layout (or arrays of layouts)."""
        return replace(self, layout=layout)
