"""Key figures of catalogue entries, in SI base units with the unit in the key."""

from __future__ import annotations

from typing import Any

from llmplan.catalog.catalog import Catalog

Row = dict[str, Any]


def rows(catalog: Catalog, kind: str) -> list[Row]:
    """The key figures of every entry of a kind, in SI base units with the unit in the key."""
    if kind == "prices":
        return [row for prices in catalog.prices() for row in _price_rows(prices)]
    make = {"devices": _device_row, "clusters": _cluster_row, "stacks": _stack_row, "models": _model_row}[kind]
    return [_present({"id": name, **make(catalog, name)}) for name in catalog.ids(kind)]


def _device_row(catalog: Catalog, name: str) -> Row:
    device = catalog.device_as_stated(name)
    return {
        "name": device.name,
        "kind": device.kind,
        "aliases": list(device.aliases),
        "memory_bytes": device.memory.capacity,
        "memory_bytes_per_second": device.memory.bandwidth,
        "peak_16bit_flop_per_second": device.peak.get("bf16") or device.peak.get("fp16"),
        "scale_up_bytes_per_second": device.scale_up.bandwidth or None,
        "scale_up_domain": device.scale_up.domain,
        "tdp_watts": device.power.tdp,
        "plannable": device.plannable,
        "why_not_plannable": device.why_not_plannable or None,
    }


def _cluster_row(catalog: Catalog, name: str) -> Row:
    cluster = catalog.cluster(name)
    return {
        "name": cluster.name,
        "aliases": list(cluster.aliases),
        "devices_per_node": cluster.devices_per_node,
        "fabric": cluster.fabric.link,
        "fabric_bytes_per_second": cluster.fabric.bandwidth,
        "fabric_latency_seconds": cluster.fabric.latency,
    }


def _stack_row(catalog: Catalog, name: str) -> Row:
    stack = catalog.stack(name)
    return {"name": stack.name, "aliases": list(stack.aliases), "workloads": list(stack.workloads)}


def _model_row(catalog: Catalog, name: str) -> Row:
    data = catalog.entry_document("models", name).data
    entry = data if isinstance(data, dict) else {}  # `catalog check` says what is wrong with an entry
    aliases = entry.get("aliases")
    keys = ("name", "architecture", "layers", "hidden", "experts")
    return {
        "aliases": [str(alias) for alias in aliases] if isinstance(aliases, list) else [],
        **{key: entry[key] for key in keys if isinstance(entry.get(key), (str, int))},
    }


def _price_rows(prices: Any) -> list[Row]:
    return [
        {
            "id": prices.id,
            "provider": prices.provider,
            "instance": price.instance,
            "device": price.device,
            "devices": price.devices,
            "region": price.region,
            "kind": price.kind,
            "usd_per_hour": price.price,
            "usd_per_device_hour": price.price / price.devices,
            "date": price.date,
        }
        for price in prices.prices
    ]


def _present(row: Row) -> Row:
    return {key: value for key, value in row.items() if value is not None}
