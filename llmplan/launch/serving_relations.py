"""Serving: names of engines that stand for several options of a plan, or the other way round."""

from __future__ import annotations

from typing import Any

from llmplan.launch.quantities import Facts, model_devices, whole


def experts_on(facts: Facts) -> dict[str, Any]:
    """A switch that spreads experts over all devices of a stage (vLLM)."""
    return {"expert_parallel": (whole(facts, "ep") or 1) > 1}


def copied_experts(facts: Facts) -> dict[str, Any]:
    """A switch without which there are no copies of experts (vLLM), and the places of both together (TensorRT-LLM)."""
    copies, experts = whole(facts, "redundant_experts", None), whole(facts, "model_experts", None)
    return {"balances_experts": True, "expert_slots": experts + copies} if copies and experts else {}


def of_copied_experts(facts: Facts) -> dict[str, Any]:
    """Copies of experts, as their places say."""
    slots, experts = whole(facts, "expert_slots", None), whole(facts, "model_experts", None)
    return {"redundant_experts": slots - experts} if slots and experts and slots > experts else {}


def experts_everywhere(facts: Facts) -> dict[str, Any]:
    """ep, as the switch and the devices of a stage say."""
    if str(facts.get("expert_parallel", "")).lower() != "true":
        return {"ep": 1}
    tp, dp = whole(facts, "tp"), whole(facts, "dp")
    return {"ep": tp * dp} if tp and dp else {}


def attention_groups(facts: Facts) -> dict[str, Any]:
    """tp counts all devices, and dp groups of them attend on their own, where experts span replicas (SGLang).

    Devices that share a prompt are in it too, and have experts of their own unless those are spread over them.
    """
    tp, dp, ep, cp = (whole(facts, name) or 1 for name in ("tp", "dp", "ep", "cp"))
    spans = dp > 1 and ep > tp * cp
    shares = {"attention_cp": cp, "prefill_shared": True, "cp_strategy": "zigzag"} if cp > 1 else {"attention_cp": 1}
    return {
        "engine_tp": tp * cp * dp if spans else tp * cp, "attention_dp": dp if spans else 1,
        "engine_dp": 1 if spans else dp, **shares, "moe_dp": cp if ep <= tp else 1,
    }  # fmt: skip


def of_attention_groups(facts: Facts) -> dict[str, Any]:
    """tp and dp, as tp of all devices and its groups say; before --attn-dp-size they were --dp-size and a switch.

    Experts are divided over all devices of the groups: where no ep is given each is cut, which is planned as whole ones
    that are spread.
    """
    tp, groups, dp, cp = (whole(facts, name) for name in ("engine_tp", "attention_dp", "engine_dp", "attention_cp"))
    if tp is None or groups is None or dp is None or cp is None or tp % cp:
        return {}
    tp //= cp
    if str(facts.get("dp_attention", "")).lower() == "true":  # before --attn-dp-size: --dp-size, and a switch
        groups, dp = dp, 1
    if groups > 1 and tp % groups == 0:
        spread = {} if (whole(facts, "ep") or 1) > 1 else {"ep": tp * cp}
        return {"tp": tp // groups, "dp": groups * dp, "cp": cp, **spread}
    return {"tp": tp, "dp": dp, "cp": cp}


def attention_alone(facts: Facts) -> dict[str, Any]:
    """A switch that lets every device attend on its own, experts spread over all (TensorRT-LLM)."""
    tp, dp, ep = (whole(facts, name) or 1 for name in ("tp", "dp", "ep"))
    alone = tp == 1 and dp > 1 and ep > 1
    return {"engine_tp": dp if alone else tp, "dp_attention": alone}


def of_attention_alone(facts: Facts) -> dict[str, Any]:
    """tp and dp, as tp of all devices and the switch say."""
    tp = whole(facts, "engine_tp")
    if tp is None:
        return {}
    alone = str(facts.get("dp_attention", "")).lower() == "true"
    return {"tp": 1, "dp": tp} if alone else {"tp": tp, "dp": 1}


GIB, GB = 2.0**30, 1e9


def host_cache_gib(facts: Facts) -> dict[str, Any]:
    """Host memory for prefixes of a replica in GiB (vLLM)."""
    size = facts.get("kv_offloading_size")
    return {} if size is None else {"host_cache_gib": float(size) / GIB}


def of_host_cache_gib(facts: Facts) -> dict[str, Any]:
    """The same in bytes."""
    return _bytes(facts, "host_cache_gib", GIB)


def host_cache_rank(facts: Facts) -> dict[str, Any]:
    """Host memory for prefixes of each device: in bytes (TensorRT-LLM), and in whole GB with its switch (SGLang)."""
    size, devices = facts.get("kv_offloading_size"), model_devices(facts)
    if size is None or devices is None:
        return {}
    each = float(size) / devices
    gigabytes = {"host_cache_gb": round(each / GB), "host_cache_on": True} if each % GB == 0 else {}
    return {"host_cache_rank": round(each), **gigabytes}


def of_host_cache_rank(facts: Facts) -> dict[str, Any]:
    """That of a replica, as its devices say."""
    devices = model_devices(facts) or 1
    return _bytes(facts, "host_cache_rank", 1.0 * devices) or _bytes(facts, "host_cache_gb", GB * devices)


def _bytes(facts: Facts, name: str, unit: float) -> dict[str, Any]:
    try:
        return {"kv_offloading_size": float(facts[name]) * unit}
    except (KeyError, OverflowError, TypeError, ValueError):
        return {}


def slots(facts: Facts) -> dict[str, Any]:
    """A context that all slots share (llama.cpp)."""
    longest, slots = whole(facts, "max_model_len", None), whole(facts, "max_num_seqs")
    return {"shared_context": longest * slots} if longest and slots else {}


def of_slots(facts: Facts) -> dict[str, Any]:
    """The longest request, as the shared context and its slots say."""
    context, slots = whole(facts, "shared_context", None), whole(facts, "max_num_seqs")
    return {"max_model_len": context // slots} if context and slots and context >= slots else {}
