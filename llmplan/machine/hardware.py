"""Catalogue types of hardware: a device, the cluster that it stands in, a price.

Each class is the schema of one YAML file; the docstring under a field is its documentation
and goes into the JSON Schema. SI base units inside, units as text in the files.
"""

from typing import Annotated, Literal

from pydantic import Field

from llmplan.schema import Source, Spec
from llmplan.units import Bytes, BytesPerSecond, FlopPerSecond, Joules, Kilogram, Seconds, UsdPerHour, Watts

Precision = Literal[
    "fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "mxfp8", "int8", "fp6", "mxfp6", "nvfp4", "mxfp4", "int4"
]
Topology = Literal["switch", "mesh", "torus-2d", "torus-3d", "pairs", "none"]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(gt=0, le=1)]


class DeviceMemory(Spec):
    """Memory of one device."""

    type: str
    capacity: Annotated[Bytes, Field(gt=0)]
    """What the driver reports; HBM is binary by nature, so an '80 GB' part holds 80 GiB."""
    reserved: Bytes = 0.0
    """Taken by driver, context and ECC before any framework starts; usable = capacity - reserved."""
    bandwidth: Annotated[BytesPerSecond, Field(gt=0)]


def resized(memory: DeviceMemory, capacity: float) -> DeviceMemory:
    """The same memory in another size [bytes], of which the driver takes the same share."""
    reserved = memory.reserved * capacity / memory.capacity
    return memory.model_copy(update={"capacity": capacity, "reserved": reserved})


class ScaleUp(Spec):
    """The fast links between devices: NVLink, ICI, XGMI."""

    link: str
    bandwidth: BytesPerSecond = 0.0
    """One direction, all links of a device together (NVLink 4: 450 GB/s); a torus: all its links together."""
    domain: Annotated[int, Field(ge=1)]
    """Devices that reach each other over it (8 in an HGX board, 72 in NVL72, a whole TPU slice)."""
    topology: Topology
    links: Annotated[int, Field(ge=1)] | None = None
    """Links of a device, where collectives use them one by one (torus, mesh)."""


class HostLink(Spec):
    """The link between a device and its host."""

    link: str
    bandwidth: Annotated[BytesPerSecond, Field(gt=0)]
    """One direction."""


class MatmulEfficiency(Spec):
    """What measured matrix products make of the datasheet; arguments of `formulas.matmul.matmul_seconds`."""

    peak_fraction: Fraction
    """Share of the dense peak that a large product reaches."""
    ramp_k: Annotated[float, Field(ge=0, le=4096)] = 0.0
    """Inner length lost in filling and draining a tile's pipeline [1]."""
    tail: Annotated[float, Field(ge=0, le=8)] = 0.0
    """Waves of 128 x 128 tiles over all compute units below which a product gets no cheaper [1]."""
    memory_fraction: Fraction = 0.8
    """Share of the memory bandwidth that a product bound by memory reaches."""
    launch: Annotated[Seconds, Field(ge=0)] = 0.0
    """Fixed time of a kernel, with that of the cast of its input where it has one."""
    cast_fraction: Fraction | None = None
    """Share of the memory bandwidth at which 16-bit inputs are cast; absent = no cast."""


class GroupedEfficiency(Spec):
    """The same for products grouped by expert, one layer of experts together."""

    peak_fraction: Fraction | None = None
    """Absent = that of plain products of the same inputs."""
    tail: Annotated[float, Field(ge=0, le=8)] = 0.0
    memory_fraction: Fraction = 0.8
    unit_rate: Annotated[FlopPerSecond, Field(gt=0)] | None = None
    """What a compute unit reaches where it unpacks weights on the way: then neither matrix units nor memory decide."""
    unit_bandwidth: Annotated[BytesPerSecond, Field(gt=0)] | None = None
    """Packed weights that a compute unit unpacks in a second."""
    launch: Annotated[Seconds, Field(ge=0)] = 0.0
    """Fixed time of the whole layer: routing, sorting, two products, non-linearity, weighted sum."""
    padding: Annotated[float, Field(ge=0, le=64)] = 3.0
    """Rows of padding for each row where experts have few: 3; 15 where weights are unpacked on the way."""
    routed_bandwidth: Annotated[BytesPerSecond, Field(gt=0)] | None = None
    """At which rows are permuted, passed through the non-linearity and summed; absent = streaming kernels."""
    all_rows: bool = False
    """Whether rows of experts on other devices pass the non-linearity and the sum too, where their tokens are here."""


class AttentionEfficiency(Spec):
    """What measured flash attention makes of the datasheet, forward; arguments of `formulas.attention`."""

    peak_fraction: Fraction
    """Share of the dense 16-bit peak that long sequences reach."""
    ramp: Annotated[float, Field(ge=0, le=4096)] = 0.0
    """Keys' worth of time lost in starting and ending a block of queries."""
    tail: Annotated[float, Field(ge=0, le=8)] = 0.0
    """Waves of blocks of 128 queries lost at the end."""
    memory_fraction: Fraction = 0.8
    launch: Annotated[Seconds, Field(ge=0)] = 0.0


class DecodeEfficiency(Spec):
    """What measured attention of one new token a sequence makes of the datasheet."""

    memory_fraction: Fraction
    """Share of the memory bandwidth at which a large cache is read."""
    latency: Annotated[Seconds, Field(ge=0)] = 0.0
    """Fixed time of the kernel and the one that joins its parts."""


class CollectiveEfficiency(Spec):
    """What a measured algorithm of a collective makes of the links; arguments of `formulas.collectives`."""

    link_fraction: Fraction
    """Share of the scale-up link's rate, one direction, that large messages reach."""
    base: Annotated[Seconds, Field(ge=0)] = 0.0
    """Fixed time."""
    step: Annotated[Seconds, Field(ge=0)] = 0.0
    """Time from one device to the next."""
    chunk: Annotated[Seconds, Field(ge=0)] = 0.0
    """Time to start one chunk of a pipelined message."""
    protocol: Annotated[Seconds, Field(ge=0)] = 0.0
    """Of an exchange: what the change from packets of low latency to bulk ones costs."""


Algorithm = Literal["ring", "switch", "one_shot", "two_shot", "lamport", "exchange", "direct"]


class Efficiency(Spec):
    """Measured behaviour of kernels and links on this device. What is absent is taken from `like`
    or from the family's defaults, and the estimate says so. Kernels are told apart by kind: the precision of the
    inputs, and how weights are scaled or unpacked (`fp8_block`, `w4a16`)."""

    like: str | None = None
    """Id of a device whose measured efficiencies stand in for missing ones."""
    matmul: dict[str, MatmulEfficiency] = {}
    engine_matmul: dict[str, MatmulEfficiency] = {}
    """Products by the kernels of serving engines, where they differ from the best library's."""
    grouped_matmul: dict[str, GroupedEfficiency] = {}
    engine_grouped_matmul: dict[str, GroupedEfficiency] = {}
    """The same of products grouped by expert."""
    attention: dict[str, AttentionEfficiency] = {}
    """By precision of the cache that keys and values are written to; training has none, as with 16 bits."""
    flash_2_fraction: Fraction | None = None
    """`peak_fraction` of FlashAttention-2, where newer kernels reach more."""
    decode_attention: dict[str, DecodeEfficiency] = {}
    """By precision of the cache."""
    collectives: dict[Algorithm, CollectiveEfficiency] = {}
    product_energy: Annotated[Joules, Field(gt=0)] | None = None
    """Of a FLOP in 16-bit products at full clock, which the power limit holds down in continuous work
    (`formulas.power`); absent = kernels keep the rates that were measured alone."""
    memory_fraction: Fraction | None = None
    """Of the datasheet bandwidth that streaming kernels reach."""
    small_launch: Annotated[Seconds, Field(ge=0)] | None = None
    """Fixed time of a kernel that streams little; as long as a product's in 16 bits where it is not known."""
    repeated_read_bandwidth: Annotated[BytesPerSecond, Field(gt=0)] | None = None
    """At which decoding attention reads again, from the cache on the chip, what another thread block has read."""
    source: str | None = None


class Power(Spec):
    """Power of one device."""

    tdp: Annotated[Watts, Field(gt=0)] | None = None
    """Nameplate of one device."""
    load: Annotated[Watts, Field(gt=0)] | None = None
    """Measured mean under training load, where published."""


class Device(Spec):
    """One accelerator (or a CPU socket): `hardware_catalog/devices/<id>.yaml`."""

    id: str = ""
    """The file's name; not written in the file."""
    name: str
    vendor: str
    kind: Literal["gpu", "tpu", "cpu", "npu", "fpga"]
    architecture: str
    form_factor: str = ""
    release: Annotated[int, Field(ge=2010, le=2030)]
    aliases: tuple[str, ...] = ()
    memory: DeviceMemory
    peak: dict[Precision, FlopPerSecond]
    """Dense FLOP/s by precision of the matrix units (fp32: of the vector units)."""
    sparse_peak: dict[Precision, FlopPerSecond] = {}
    """With structured sparsity; never used by the planner, kept to tell the two apart."""
    unsupported: tuple[Precision, ...] = ()
    fp8_ratio: Positive = 2.0
    """Peak of fp8 over bf16 as the vendor states it, where it is not 2."""
    compute_units: Annotated[int, Field(ge=1)] | None = None
    """SMs, compute units, tensor cores: what a matrix product's tiles are spread over."""
    cache: Bytes | None = None
    scale_up: ScaleUp
    host_link: HostLink | None = None
    power: Annotated[Power, Field(default_factory=Power)]
    cluster: str | None = None
    """Id of its usual cluster."""
    efficiency: Annotated[Efficiency, Field(default_factory=Efficiency)]
    plannable: bool = True
    why_not_plannable: str = ""
    notes: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()
    """Fields whose source could not be read again."""
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    date: str
    """When the figures were checked, YYYY-MM-DD."""


class Fabric(Spec):
    """The network between nodes."""

    link: str
    bandwidth: BytesPerSecond
    """One direction, for each device (a DGX H100: 400 Gb/s = 50 GB/s)."""
    latency: Annotated[Seconds, Field(ge=0)]
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
    devices_per_node: Annotated[int, Field(ge=1)]
    host_memory: Bytes | None = None
    host_bandwidth: Annotated[BytesPerSecond, Field(gt=0)] | None = None
    """Of the host's memory."""
    host_peak: Annotated[FlopPerSecond, Field(gt=0)] | None = None
    """Of the host's processors, with inputs of 16 or 32 bits."""
    fabric: Fabric
    storage: Storage | None = None
    node_power: Watts | None = None
    """Host, fans and switches of a node beside its devices, under load."""
    pue: Annotated[float, Field(ge=1, le=3)] | None = None
    embodied: Kilogram | None = None
    """Embodied carbon of one node with its devices."""
    notes: tuple[str, ...] = ()
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    date: str


class Price(Spec):
    """What one instance costs: an item of `hardware_catalog/prices/<provider>.yaml`."""

    instance: str
    device: str
    devices: Annotated[int, Field(ge=1)]
    region: str
    kind: Literal["on-demand", "spot", "reserved"] = "on-demand"
    price: Annotated[UsdPerHour, Field(gt=0)]
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
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
