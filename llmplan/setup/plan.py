"""What plans of training and of serving have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any, Self, TypeVar

from llmplan.formulas.numeric import minimum, real
from llmplan.machine.hardware import Cluster, Device
from llmplan.model.model import Model
from llmplan.records import dataclass, replace
from llmplan.setup.layout import Layout
from llmplan.setup.options import VOCABULARY, PlanOptions
from llmplan.software.band import Interval, Verdict, verdict
from llmplan.software.coefficients import Coefficients
from llmplan.software.distance import Traits
from llmplan.software.stack import Stack
from llmplan.vocabulary import WorkloadKind

if TYPE_CHECKING:
    from llmplan.formulas.numeric import Num
    from llmplan.setup.many import Machines

T = TypeVar("T")
_VOCABULARY = tuple(VOCABULARY)


@dataclass(frozen=True, slots=True)
class PlanWarning:
    """Something that the user should know about an answer: a stable code and a sentence."""

    code: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Model x cluster x layout x stack, resolved and checked.

    coefficients: of the stack in the plan's version; options: what the user gave; assumptions: what was filled in;
    machine: kernels and links of the plan, at hand where only its layout
    and batch change; machines: of many plans in one, what each runs on.
    """

    model: Model
    device: Device
    cluster: Cluster
    layout: Layout
    stack: Stack
    coefficients: Coefficients
    options: PlanOptions = field(default_factory=PlanOptions)
    assumptions: tuple[str, ...] = ()
    machine: Any = None
    machines: Machines[Self] | None = None

    @property
    def kind(self) -> WorkloadKind:
        """What is run."""
        raise NotImplementedError

    @property
    def traits(self) -> Traits:
        """What it is, as far as the width of bands goes."""
        raise NotImplementedError

    def interval(self, quantity: str, value: float) -> Interval:
        """The value with the stack's 80 % band for that quantity, widened by what was never measured with it."""
        return self.on_machine(lambda one: one.stack.band(quantity, one.traits)) * value

    def on_machine(self, figure: Callable[[Self], T]) -> T:
        """A figure that hangs on device, cluster and software alone; of many plans in one, that of each."""
        return figure(self) if self.machines is None else self.machines.each(figure)

    def as_options(self) -> dict[str, Any]:
        """The plan in the vocabulary, complete: given back as a plan file it is the same plan."""
        raise NotImplementedError

    @property
    def devices(self) -> int:
        """Devices that the layout takes [1]."""
        return self.layout.devices

    @property
    def devices_on_host(self) -> Num:
        """Devices of the plan that share the memory of one host [1]: a node's, or all if they are fewer."""
        return minimum(self.layout.devices * 1.0, self.cluster.devices_per_node * 1.0)

    @property
    def usable_bytes(self) -> float:
        """Memory of a device that a framework can have [bytes]."""
        return self.device.memory.capacity - self.device.memory.reserved

    def host_holds(self, host_bytes: Num) -> bool:
        """Whether the memory of a node's host, as far as it is known, holds so much [bytes]."""
        return self.cluster.host_memory is None or real(host_bytes) <= self.cluster.host_memory

    def verdict(self, needed: Interval, usable: float, host_bytes: Num) -> Verdict:
        """Whether a device holds what it needs of what it can use [bytes], and the host what is moved there [bytes]."""
        return verdict(needed, usable) if self.host_holds(host_bytes) else "does-not-fit"

    def with_layout(self, layout: Any) -> Self:
        """The same plan with another layout (or arrays of layouts)."""
        return replace(self, layout=layout)

    def on_devices(self, count: int) -> Self:
        """The same plan on so many devices, however they are used."""
        return self.with_layout(Layout(dp=count))

    def common_options(self, kept: Iterable[str]) -> dict[str, Any]:
        """Model, hardware, stack and limits in the vocabulary, and the options of `kept` as they were given."""
        options = self.options
        return {
            "model": self.model.name if options.model is None else options.model, "hardware": self.device.id,
            "device_memory": options.device_memory,
            "cluster": self.cluster.id, "devices": self.devices, "devices_per_node": self.cluster.devices_per_node,
            "stack": self.stack.id, "stack_version": options.stack_version,
            **{name: getattr(options, name) for name in kept},
            "limits": None if options.limits is None else options.limits.stated(),
        }  # fmt: skip

    @staticmethod
    def in_order(options: Mapping[str, Any]) -> dict[str, Any]:
        """Options that have a value, in the order of the vocabulary; JSON has lists where Python has tuples."""
        found = [(name, value) for name in _VOCABULARY if (value := options.get(name)) is not None]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found}
