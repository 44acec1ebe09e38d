"""Catalogue types of hardware: a device, the cluster that it stands in, a price.

Each class is the schema of one YAML file; the docstring under a field is its documentation
and goes into the JSON Schema. SI base units inside, units as text in the files.
"""

from dataclasses import field
from typing import Annotated, Literal

from llmplan.machine.efficiency import Efficiency, Fraction
from llmplan.records import replace
from llmplan.rules import Within
from llmplan.schema import Source, Spec
from llmplan.units import Bytes, BytesPerSecond, FlopPerSecond, Kilogram, Seconds, UsdPerHour, Watts

Precision = Literal[
    "fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "mxfp8", "int8", "fp6", "mxfp6", "nvfp4", "mxfp4", "int4"
]
Kind = Literal["gpu", "tpu", "cpu", "npu", "fpga"]
Topology = Literal["switch", "mesh", "torus-2d", "torus-3d", "pairs", "none"]
Positive = Annotated[float, Within(gt=0)]
Rate = Within(ge=1e-9)
"""Of FLOPs or bytes a second: with less, times pass what a float holds."""


class DeviceMemory(Spec):
    """Memory of one device."""

    type: str
    capacity: Annotated[Bytes, Within(gt=0)]
    """What the driver reports; HBM is binary by nature, so an '80 GB' part holds 80 GiB."""
    reserved: Bytes = 0.0
    """Taken by driver, context and ECC before any framework starts; usable = capacity - reserved."""
    bandwidth: Annotated[BytesPerSecond, Rate]


def resized(memory: DeviceMemory, capacity: float) -> DeviceMemory:
    """The same memory in another size [bytes], of which the driver takes the same share."""
    reserved = memory.reserved * capacity / memory.capacity
    return replace(memory, capacity=capacity, reserved=reserved)


class ScaleUp(Spec):
    """The fast links between devices: NVLink, ICI, XGMI."""

    link: str
    bandwidth: BytesPerSecond = 0.0
    """One direction, all links of a device together (NVLink 4: 450 GB/s); a torus: all its links together."""
    domain: Annotated[int, Within(ge=1)]
    """Devices that reach each other over it (8 in an HGX board, 72 in NVL72, a whole TPU slice)."""
    topology: Topology
    links: Annotated[int, Within(ge=1)] | None = None
    """Links of a device, where collectives use them one by one (torus, mesh)."""


class HostLink(Spec):
    """The link between a device and its host."""

    link: str
    bandwidth: Annotated[BytesPerSecond, Within(gt=0)]
    """One direction."""


class Power(Spec):
    """Power of one device."""

    tdp: Annotated[Watts, Within(gt=0)] | None = None
    """Nameplate of one device."""
    load: Annotated[Watts, Within(gt=0)] | None = None
    """Measured mean under training load, where published."""


class Device(Spec):
    """One accelerator (or a CPU socket): `hardware_catalog/devices/<id>.yaml`."""

    id: str = ""
    """The file's name; not written in the file."""
    name: str
    vendor: str
    kind: Kind
    architecture: str
    form_factor: str = ""
    release: Annotated[int, Within(ge=2010, le=2030)]
    aliases: tuple[str, ...] = ()
    memory: DeviceMemory
    peak: dict[Precision, Annotated[FlopPerSecond, Rate]]
    """Dense FLOP/s by precision of the matrix units (fp32: of the vector units)."""
    sparse_peak: dict[Precision, FlopPerSecond] = {}
    """With structured sparsity; never used by the planner, kept to tell the two apart."""
    unsupported: tuple[Precision, ...] = ()
    fp8_ratio: Positive = 2.0
    """Peak of fp8 over bf16 as the vendor states it, where it is not 2."""
    compute_units: Annotated[int, Within(ge=1)] | None = None
    """SMs, compute units, tensor cores: what a matrix product's tiles are spread over."""
    cache: Bytes | None = None
    scale_up: ScaleUp
    host_link: HostLink | None = None
    power: Power = field(default_factory=Power)
    cluster: str | None = None
    """Id of its usual cluster."""
    efficiency: Efficiency = field(default_factory=Efficiency)
    plannable: bool = True
    why_not_plannable: str = ""
    notes: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()
    """Fields whose source could not be read again."""
    sources: Annotated[tuple[Source, ...], Within(min_length=1)]
    date: str
    """When the figures were checked, YYYY-MM-DD."""


class Fabric(Spec):
    """The network between nodes."""

    link: str
    bandwidth: BytesPerSecond
    """One direction, for each device (a DGX H100: 400 Gb/s = 50 GB/s)."""
    latency: Annotated[Seconds, Within(ge=0)]
    link_fraction: Fraction = 0.85
    """Of that rate that large collectives between nodes reach."""
    topology: Literal["fat-tree", "dragonfly", "torus", "ethernet"] = "fat-tree"


class Storage(Spec):
    """Where checkpoints and data stand."""

    kind: str
    read: BytesPerSecond
    """For each node."""
    write: BytesPerSecond
    shared_read: BytesPerSecond | None = None
    """Most that the whole file system gives, where it is known."""
    shared_write: BytesPerSecond | None = None


class Cluster(Spec):
    """A node and what joins nodes: `hardware_catalog/clusters/<id>.yaml`."""

    id: str = ""
    name: str
    aliases: tuple[str, ...] = ()
    devices_per_node: Annotated[int, Within(ge=1)]
    host_memory: Bytes | None = None
    host_bandwidth: Annotated[BytesPerSecond, Within(gt=0)] | None = None
    """Of the host's memory."""
    host_peak: Annotated[FlopPerSecond, Within(gt=0)] | None = None
    """Of the host's processors, with inputs of 16 or 32 bits."""
    host_time_ratio: Annotated[float, Within(gt=0, le=100)] = 1.0
    """Time that the host takes for its part of a step over that of the servers on which stacks were fitted, of x86."""
    fabric: Fabric
    storage: Storage | None = None
    node_power: Watts | None = None
    """Host, fans and switches of a node beside its devices, under load."""
    pue: Annotated[float, Within(ge=1, le=3)] | None = None
    embodied: Kilogram | None = None
    """Embodied carbon of one node with its devices."""
    notes: tuple[str, ...] = ()
    sources: Annotated[tuple[Source, ...], Within(min_length=1)]
    date: str


class Price(Spec):
    """What one instance costs: an item of `hardware_catalog/prices/<provider>.yaml`."""

    instance: str
    device: str
    devices: Annotated[int, Within(ge=1)]
    region: str
    kind: Literal["on-demand", "spot", "reserved"] = "on-demand"
    price: Annotated[UsdPerHour, Within(gt=0)]
    """Of the whole instance."""
    date: str
    source: str
    notes: str = ""


class PriceList(Spec):
    """Prices of one provider: `hardware_catalog/prices/<provider>.yaml`."""

    id: str = ""
    provider: str
    prices: tuple[Price, ...]
    date: str
    sources: Annotated[tuple[Source, ...], Within(min_length=1)]
