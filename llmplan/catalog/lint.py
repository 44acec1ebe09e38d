"""What a single catalogue entry must satisfy beyond its schema: the usual slips of hardware tables.

Sparse rates printed as dense ones, both directions of a link added up, GB for GiB, a unit that is
off by a thousand. Each rule yields `Problem`s; `llmplan.catalog.check` gives them file and line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from llmplan.documents import Path_
from llmplan.machine.hardware import Cluster, Price, PriceList
from llmplan.schema import Source

Problem = tuple[Path_, str]

# Ranges that every real cluster and price lies well inside: a wrong prefix (x 1000) or unit (x 8) falls out.
FABRIC = (0.1e9, 500e9)  # bytes/s a device, one direction: shared 10 GbE .. several 1.6 Tb/s ports
LATENCY = (1e-7, 1e-3)  # seconds: a switch hop .. a kernel's TCP stack
HOST_MEMORY = (8e9, 16e12)  # bytes a node
HOST_BANDWIDTH = (1e10, 4e12)  # bytes/s a node
HOST_PEAK = (1e11, 1e15)  # FLOP/s a node
PRICE_PER_DEVICE = (0.02, 60.0)  # USD an hour: spot of an old card .. the dearest region of a new one
DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})\Z")
LOOSE_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?\Z")  # snapshots of prices may carry a year only


def cluster_problems(cluster: Cluster) -> Iterator[Problem]:
    """Everything that is wrong with one cluster by itself."""
    yield from date_problems(cluster.date)
    yield from source_problems(cluster.sources)
    if not is_within(cluster.fabric.bandwidth, FABRIC):
        text = f"fabric.bandwidth of {cluster.fabric.bandwidth:.3g} bytes/s a device is not plausible: bits, or a node?"
        yield ("fabric", "bandwidth"), text
    if not is_within(cluster.fabric.latency, LATENCY):
        yield ("fabric", "latency"), f"fabric.latency of {cluster.fabric.latency:.2g} s is not plausible"
    if cluster.host_memory is not None and not is_within(cluster.host_memory, HOST_MEMORY):
        yield ("host_memory",), f"host_memory of {cluster.host_memory:.3g} bytes a node is not plausible"
    if cluster.host_bandwidth is not None and not is_within(cluster.host_bandwidth, HOST_BANDWIDTH):
        yield ("host_bandwidth",), f"host_bandwidth of {cluster.host_bandwidth:.3g} bytes/s a node is not plausible"
    if cluster.host_peak is not None and not is_within(cluster.host_peak, HOST_PEAK):
        yield ("host_peak",), f"host_peak of {cluster.host_peak:.3g} FLOP/s a node is not plausible"
    storage = cluster.storage
    if storage and storage.shared_read is not None and storage.shared_read < storage.read:
        yield ("storage", "shared_read"), "storage.shared_read is less than one node reads"


def price_problems(prices: PriceList) -> Iterator[Problem]:
    """Everything that is wrong with one price list by itself."""
    yield from date_problems(prices.date)
    yield from source_problems(prices.sources)
    seen: dict[tuple[str, str, str, str], int] = {}
    for index, price in enumerate(prices.prices):
        at: Path_ = ("prices", index)
        yield from date_problems(price.date, (*at, "date"), LOOSE_DATE)
        if not price.source.strip():
            yield (*at, "source"), "source is empty"
        each = price.price / price.devices
        if not is_within(each, PRICE_PER_DEVICE):
            yield (*at, "price"), f"{each:.4g} USD/h for one device is not plausible: price of the whole instance?"
        key = (price.instance, price.region, price.kind, price.notes)
        if seen.setdefault(key, index) != index:
            yield at, f"{price.instance} in {price.region}, {price.kind}, stands twice"
        yield from _spot_problems(price, prices.prices, at)


def _spot_problems(price: Price, prices: tuple[Price, ...], at: Path_) -> Iterator[Problem]:
    for other in prices:
        same = (other.instance, other.region) == (price.instance, price.region)
        if same and price.kind == "spot" and other.kind == "on-demand" and price.price > other.price:
            yield (*at, "price"), "spot costs more than on-demand"


def date_problems(text: str, path: Path_ = ("date",), form: re.Pattern[str] = DATE) -> Iterator[Problem]:
    """A date must be a real day, written YYYY-MM-DD, and not lie ahead."""
    match = form.match(text)
    if match is None:
        yield path, f"date {text!r} is not YYYY-MM-DD"
        return
    try:
        day = date(*(int(part or 1) for part in match.groups()))
    except ValueError:
        yield path, f"date {text!r} is not a day"
        return
    if day > date.today():
        yield path, f"date {text!r} lies in the future"


def source_problems(sources: tuple[Source, ...]) -> Iterator[Problem]:
    """A source must say what it is for and where it is."""
    for index, source in enumerate(sources):
        if not source.what.strip() or not source.where.strip():
            yield ("sources", index), "a source needs both what and where"


def is_within(value: float, limits: tuple[float, float]) -> bool:
    """Whether a value lies between two others."""
    return limits[0] <= value <= limits[1]
