"""Serving: names of engines that stand for several options of a plan, or the other way round."""

from __future__ import annotations

from typing import Any

from llmplan.launch.quantities import Facts, whole


def experts_on(facts: Facts) -> dict[str, Any]:
    """A switch that spreads experts over all devices of a stage (vLLM)."""
    return {"expert_parallel": (whole(facts, "ep") or 1) > 1}


def experts_everywhere(facts: Facts) -> dict[str, Any]:
    """ep, as the switch and the devices of a stage say."""
    if str(facts.get("expert_parallel", "")).lower() != "true":
        return {"ep": 1}
    tp, dp = whole(facts, "tp"), whole(facts, "dp")
    return {"ep": tp * dp} if tp and dp else {}


def attention_groups(facts: Facts) -> dict[str, Any]:
    """tp counts all devices, and dp groups of them attend on their own, where experts span replicas (SGLang)."""
    tp, dp, ep = (whole(facts, name) or 1 for name in ("tp", "dp", "ep"))
    spans = dp > 1 and ep > tp
    return {"engine_tp": tp * dp if spans else tp, "attention_dp": dp if spans else 1, "engine_dp": 1 if spans else dp}


def of_attention_groups(facts: Facts) -> dict[str, Any]:
    """tp and dp, as tp of all devices and its groups say; before --attn-dp-size they were --dp-size and a switch."""
    tp, groups, dp = (whole(facts, name) for name in ("engine_tp", "attention_dp", "engine_dp"))
    if tp is None or groups is None or dp is None:
        return {}
    if str(facts.get("dp_attention", "")).lower() == "true":  # before --attn-dp-size: --dp-size, and a switch
        groups, dp = dp, 1
    if groups > 1 and tp % groups == 0:
        return {"tp": tp // groups, "dp": groups * dp}
    return {"tp": tp, "dp": dp}


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


def slots(facts: Facts) -> dict[str, Any]:
    """A context that all slots share (llama.cpp)."""
    longest, slots = whole(facts, "max_model_len", None), whole(facts, "max_num_seqs")
    return {"shared_context": longest * slots} if longest and slots else {}


def of_slots(facts: Facts) -> dict[str, Any]:
    """The longest request, as the shared context and its slots say."""
    context, slots = whole(facts, "shared_context", None), whole(facts, "max_num_seqs")
    return {"max_model_len": context // slots} if context and slots and context >= slots else {}
