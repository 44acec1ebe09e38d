"""What is measured of kernels and links on a device: the `efficiency` of its entry."""

from typing import Annotated, Literal

from llmplan.rules import Within
from llmplan.schema import Spec
from llmplan.units import BytesPerSecond, FlopPerSecond, Joules, Seconds

Fraction = Annotated[float, Within(gt=0, le=1)]


class MatmulEfficiency(Spec):
    """What measured matrix products make of the datasheet; arguments of `formulas.matmul.matmul_seconds`."""

    peak_fraction: Fraction
    """Share of the dense peak that a large product reaches."""
    ramp_k: Annotated[float, Within(ge=0, le=4096)] = 0.0
    """Inner length lost in filling and draining a tile's pipeline [1]."""
    tail: Annotated[float, Within(ge=0, le=8)] = 0.0
    """Waves of 128 x 128 tiles over all compute units below which a product gets no cheaper [1]."""
    memory_fraction: Fraction = 0.8
    """Share of the memory bandwidth that a product bound by memory reaches."""
    launch: Annotated[Seconds, Within(ge=0)] = 0.0
    """Fixed time of a kernel, with that of the cast of its input where it has one."""
    cast_fraction: Fraction | None = None
    """Share of the memory bandwidth at which 16-bit inputs are cast; absent = no cast."""


class GroupedEfficiency(Spec):
    """The same for products grouped by expert, one layer of experts together."""

    peak_fraction: Fraction | None = None
    """Absent = that of plain products of the same inputs."""
    tail: Annotated[float, Within(ge=0, le=8)] = 0.0
    memory_fraction: Fraction = 0.8
    unit_rate: Annotated[FlopPerSecond, Within(gt=0)] | None = None
    """What a compute unit reaches where it unpacks weights on the way: then neither matrix units nor memory decide."""
    unit_bandwidth: Annotated[BytesPerSecond, Within(gt=0)] | None = None
    """Packed weights that a compute unit unpacks in a second."""
    launch: Annotated[Seconds, Within(ge=0)] = 0.0
    """Fixed time of the whole layer: routing, sorting, two products, non-linearity, weighted sum."""
    padding: Annotated[float, Within(ge=0, le=64)] = 3.0
    """Rows of padding for each row where experts have few: 3; 15 where weights are unpacked on the way."""
    routed_bandwidth: Annotated[BytesPerSecond, Within(gt=0)] | None = None
    """At which rows are permuted, passed through the non-linearity and summed; absent = streaming kernels."""
    all_rows: bool = False
    """Whether rows of experts on other devices pass the non-linearity and the sum too, where their tokens are here."""


class AttentionEfficiency(Spec):
    """What measured flash attention makes of the datasheet, forward; arguments of `formulas.attention`."""

    peak_fraction: Fraction
    """Share of the dense 16-bit peak that long sequences reach."""
    ramp: Annotated[float, Within(ge=0, le=4096)] = 0.0
    """Keys' worth of time lost in starting and ending a block of queries."""
    tail: Annotated[float, Within(ge=0, le=8)] = 0.0
    """Waves of blocks of 128 queries lost at the end."""
    memory_fraction: Fraction = 0.8
    launch: Annotated[Seconds, Within(ge=0)] = 0.0


class DecodeEfficiency(Spec):
    """What measured attention of one new token a sequence makes of the datasheet."""

    memory_fraction: Fraction
    """Share of the memory bandwidth at which a large cache is read."""
    latency: Annotated[Seconds, Within(ge=0)] = 0.0
    """Fixed time of the kernel and the one that joins its parts."""


class CollectiveEfficiency(Spec):
    """What a measured algorithm of a collective makes of the links; arguments of `formulas.collectives`."""

    link_fraction: Fraction
    """Share of the scale-up link's rate, one direction, that large messages reach."""
    base: Annotated[Seconds, Within(ge=0)] = 0.0
    """Fixed time."""
    step: Annotated[Seconds, Within(ge=0)] = 0.0
    """Time from one device to the next."""
    chunk: Annotated[Seconds, Within(ge=0)] = 0.0
    """Time to start one chunk of a pipelined message."""
    protocol: Annotated[Seconds, Within(ge=0)] = 0.0
    """Of an exchange: what the change from packets of low latency to bulk ones costs."""


Algorithm = Literal["ring", "switch", "one_shot", "two_shot", "lamport", "exchange", "direct"]


class Efficiency(Spec):
    """Measured behaviour of kernels and links on this device. What is absent is taken from `like`
    or from the family's defaults, and the estimate says so. Kernels are told apart by kind: the precision of the
    inputs, and how weights are scaled or unpacked (`fp8_block`, `w4a16`)."""

    like: str | None = None
    """Id of a device whose measured efficiencies are used for missing ones."""
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
    product_energy: Annotated[Joules, Within(gt=0)] | None = None
    """Of a FLOP in 16-bit products at full clock, which the power limit holds down in continuous work
    (`formulas.power`); absent = kernels keep the rates that were measured alone."""
    memory_fraction: Fraction | None = None
    """Of the datasheet bandwidth that streaming kernels reach."""
    small_launch: Annotated[Seconds, Within(ge=0)] | None = None
    """Fixed time of a kernel that streams little; as long as a product's in 16 bits where it is not known."""
    repeated_read_bandwidth: Annotated[BytesPerSecond, Within(gt=0)] | None = None
    """At which decoding attention reads again, from the cache on the chip, what another thread block has read."""
    source: str | None = None
