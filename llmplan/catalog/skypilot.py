"""Imports prices from SkyPilot's catalogue: a CSV of instances becomes the price list of a provider."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmplan.errors import Fault, InputError
from llmplan.files import read_text
from llmplan.records import dataclass
from llmplan.schema import Source, Spec

NEEDED = ("InstanceType", "AcceleratorName", "AcceleratorCount", "Region", "Price")
DIGITS = 6


class OtherCard(Spec):
    """Instances whose device differs from the name of their accelerator; begins: of the instance's name."""

    begins: str
    name: str
    device: str


class SkyNames(Spec):
    """`hardware_catalog/skypilot.yaml`."""

    accelerators: dict[str, str]
    providers: dict[str, dict[str, str]] = {}
    instances: dict[str, tuple[OtherCard, ...]] = {}
    names: dict[str, str] = {}
    sources: tuple[Source, ...]
    date: str

    def device(self, provider: str, instance: str, name: str) -> str | None:
        """Id of the device; None for a name that is not known."""
        for other in self.instances.get(provider, ()):
            if instance.startswith(other.begins) and name == other.name:
                return other.device
        return self.providers.get(provider, {}).get(name) or self.accelerators.get(name)


@dataclass(frozen=True, slots=True)
class Imported:
    """A price list in the form of its file, and unknown accelerators with their numbers of rows."""

    entry: dict[str, Any]
    unknown: dict[str, int]


def read_prices(
    path: Path, provider: str, date: str, names: SkyNames, rate: tuple[str, float] | None = None
) -> Imported:
    """The prices of a CSV: the lowest of the zones of a region, for each instance on demand and as spot.

    rate: the currency that they are in, and what one of it is in USD [USD].
    """
    rows = list(_rows(path))
    unknown: Counter[str] = Counter()
    lowest: dict[tuple[str, str, str], dict[str, Any]] = {}
    for line, row in rows:
        name = (row["AcceleratorName"] or "").strip()
        if not name:  # a machine without one
            continue
        device = names.device(provider, row["InstanceType"], name)
        if device is None:
            unknown[name] += 1
            continue
        count = _number(row["AcceleratorCount"], path, line)
        for kind, text in (("on-demand", row["Price"]), ("spot", row.get("SpotPrice") or "")):
            price = (_number(text, path, line) if text.strip() else 0.0) * (rate[1] if rate else 1.0)
            if price <= 0 or count < 1 or count != int(count):  # a part of a device cannot be planned on
                continue
            key = (row["InstanceType"], row["Region"], kind)
            if key not in lowest or price < lowest[key]["price"]:
                lowest[key] = {"device": device, "devices": int(count), "price": price}
    if not lowest:
        raise InputError(Fault("no row has a price of an accelerator that is known", str(path)))
    source = f"SkyPilot catalogue, {path.name} of {provider}"
    source += f", 1 {rate[0]} = {rate[1]:g} USD" if rate else ""
    prices = [
        {"instance": instance, "device": one["device"], "devices": one["devices"], "region": region or "any",
         "kind": kind, "price": f"{round(one['price'], DIGITS):g} USD/h", "date": date, "source": source}
        for (instance, region, kind), one in sorted(lowest.items())
    ]  # fmt: skip
    entry = {
        "provider": names.names.get(provider, provider), "prices": prices, "date": date,
        "sources": [{"what": "all", "where": f"{source}, read from {path.name}"}],
    }  # fmt: skip
    return Imported(entry, dict(unknown))


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows by name, each with its line; an InputError where columns are missing."""
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
    try:
        missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
        if missing:
            raise InputError(
                Fault(f"has no column {', '.join(missing)}; a vms.csv of SkyPilot's catalogue has", str(path), 1)
            )
        for row in reader:
            yield reader.line_num, {key: value or "" for key, value in row.items() if key is not None}
    except csv.Error as error:
        raise InputError(Fault(f"is not a valid CSV: {error}", str(path), reader.line_num)) from None


def _number(text: str, path: Path, line: int) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(Fault(f"expected a number, got {text[:40]!r}", str(path), line))
    return number
