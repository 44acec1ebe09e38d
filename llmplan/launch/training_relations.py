"""Training: names of frameworks that stand for several options of a plan, or the other way round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmplan.launch.quantities import Facts, model_devices, replicas, whole


def nodes(facts: Facts) -> dict[str, Any]:
    """Nodes, devices of each, and processes of a node where something else starts the others."""
    devices, each = whole(facts, "devices") or 1, whole(facts, "devices_per_node", None)
    each = min(each or devices, devices)
    return {"nodes": -(-devices // each), "node_devices": each, "tasks": 1}


def devices(facts: Facts) -> dict[str, Any]:
    """Devices of all nodes, or else the product of all degrees if dp is given."""
    if facts.get("devices") is not None:
        return {}
    each, nodes = whole(facts, "node_devices", None), whole(facts, "nodes")
    if each and nodes:
        return {"devices": each * nodes}
    dp, one = whole(facts, "dp", None), model_devices(facts)
    return {"devices": dp * one} if dp and one else {}


def processes(facts: Facts) -> dict[str, Any]:
    """Processes of all nodes, one a device (accelerate)."""
    return {"processes": whole(facts, "devices")}


def devices_of_processes(facts: Facts) -> dict[str, Any]:
    """Devices, as the number of processes says."""
    return {} if facts.get("devices") is not None or "processes" not in facts else {"devices": facts["processes"]}


def accumulation(facts: Facts) -> dict[str, Any]:
    """Micro-batches of a step."""
    dp, micro, batch = replicas(facts), whole(facts, "micro_batch"), whole(facts, "global_batch", None)
    return {"accumulation": batch // (dp * micro)} if dp and micro and batch else {}


def global_batch(facts: Facts) -> dict[str, Any]:
    """The batch of a step, from micro-batches and their number."""
    if facts.get("global_batch") is not None or facts.get("micro_batch") is None:
        return {}
    dp, micro, times = replicas(facts), whole(facts, "micro_batch"), whole(facts, "accumulation")
    return {"global_batch": dp * micro * times} if dp and micro and times else {}


def micro_batch(facts: Facts) -> dict[str, Any]:
    """Any two of batch, micro-batch and accumulation give the third (DeepSpeed)."""
    dp, batch, times = replicas(facts), whole(facts, "global_batch", None), whole(facts, "accumulation", None)
    if facts.get("micro_batch") is None and dp and batch and times and batch % (dp * times) == 0:
        return {"micro_batch": batch // (dp * times)}
    return global_batch(facts)


def device_batch(facts: Facts) -> dict[str, Any]:
    """Sequences of a micro-batch over the devices that work on it (MaxText: a share of one, where several do)."""
    micro, one = whole(facts, "micro_batch"), model_devices(facts)
    share = micro / one if micro and one else 1.0
    return {"device_batch": int(share) if share.is_integer() else share, **accumulation(facts)}


def of_device_batch(facts: Facts) -> dict[str, Any]:
    """micro_batch, as the share of a device says."""
    one = model_devices(facts)
    try:
        micro = float(facts["device_batch"]) * (one or 0)
    except (KeyError, OverflowError, TypeError, ValueError):
        return {}
    if micro < 1 or not micro.is_integer():
        return {}
    found = {"micro_batch": int(micro)}
    return found | global_batch({**facts, **found})


NOTHING = "null"


def virtual_stages(facts: Facts) -> dict[str, Any]:
    """Virtual stages; `null` overrides a recipe's default where there is one."""
    vp = whole(facts, "vp") or 1
    return {"virtual_stages": vp if vp > 1 else NOTHING}


def of_virtual_stages(facts: Facts) -> dict[str, Any]:
    """vp, as their number says."""
    return {"vp": facts["virtual_stages"]} if "virtual_stages" in facts else {}


def of_virtual_layers(facts: Facts) -> dict[str, Any]:
    """Virtual stages from the layers of one, and those of the model (Megatron-LM's older name)."""
    model = facts.get("model")
    layers = whole(model, "layers", None) if isinstance(model, Mapping) else whole(facts, "model_layers", None)
    each, pp = whole(facts, "virtual_layers", None), whole(facts, "pp")
    if layers and each and pp and layers % (each * pp) == 0:
        return {"vp": layers // (each * pp)}
    return {}


EVEN, ENDS, SHORT, UNEVEN = "even", "ends", "short", "uneven"
"""How layers are cut into stages: alike; as if embedding and head were a layer each; the last stage with what is left;
in a way that has no option."""


def stages_cut(facts: Facts) -> dict[str, Any]:
    """How Megatron-LM is to cut layers that do not divide into stages: as the plan counts the fullest of them."""
    pp, vp = whole(facts, "pp") or 1, whole(facts, "vp") or 1
    layers, stages = whole(facts, "layers", None) or whole(facts, "model_layers"), pp * vp
    if layers is None or pp == 1:
        return {}
    if layers % stages == 0:
        return {"stages_cut": EVEN}
    if (layers + 2) % stages == 0:
        return {"stages_cut": ENDS}
    last = layers - (pp - 1) * vp * -(-layers // stages)
    return {"stages_cut": SHORT, "last_layers": last} if last >= vp and last % vp == 0 else {"stages_cut": UNEVEN}


UNIFORM, BLOCK = "uniform", "block"
"""Ways of Megatron-LM to run whole layers again: all of them, or the first few of each virtual stage."""


def recomputed(facts: Facts) -> dict[str, Any]:
    """The way in which layers run again, and their number: those of a unit, or of a virtual stage (Megatron-LM)."""
    recompute, layers = facts.get("recompute"), whole(facts, "recompute_layers", None)
    if recompute != "full":
        return {"recompute_way": recompute}
    return {"recompute_way": BLOCK if layers else UNIFORM, "recompute_number": layers or 1}


def of_recomputed(facts: Facts) -> dict[str, Any]:
    """recompute and recompute_layers; units of `uniform` may be several layers, which changes no time: passed over."""
    way = facts.get("recompute_way")
    if way != BLOCK:
        return {} if way is None else {"recompute": "full" if way == UNIFORM else way}
    return {"recompute": "full", "recompute_layers": whole(facts, "recompute_number", None)}


def shards(facts: Facts) -> dict[str, Any]:
    """FSDP by degrees: replicas beside shards, -1 for all that are left (torchtitan, Axolotl, accelerate)."""
    sharded = (whole(facts, "zero", 0) or 0) > 1
    dp = replicas(facts) or 1
    copies = whole(facts, "dp_replicate") or 1
    return {"replicated": copies if sharded else dp, "sharded": -1 if sharded else 1,
            "resharded": "never" if facts.get("zero") == 2 else "default"}  # fmt: skip


def of_shards(facts: Facts) -> dict[str, Any]:
    """zero and dp, as the degrees say."""
    copies, shards = whole(facts, "replicated") or 1, whole(facts, "sharded", None)
    if shards == 1:
        return {"zero": 0} | ({"dp": copies} if copies > 1 else {})
    found: dict[str, Any] = {"zero": 2 if str(facts.get("resharded")).lower() == "never" else 3}
    if copies > 1:
        found["dp_replicate"] = copies
    if shards and facts.get("devices") is None:
        found["dp"] = shards * copies
    return found


def in_host(facts: Facts) -> dict[str, Any]:
    """What is offloaded to host memory: nothing, the optimizer's states, or parameters too (DeepSpeed)."""
    return {"in_host": "all" if facts.get("offload_parameters") else
            "optimizer" if facts.get("offload_optimizer") else "none"}  # fmt: skip


def of_in_host(facts: Facts) -> dict[str, Any]:
    """offload_parameters and offload_optimizer."""
    place = facts.get("in_host")
    if place is None:
        return {}
    found: dict[str, Any] = {"offload_parameters": place == "all"}
    return found if place == "all" else found | {"offload_optimizer": place == "optimizer"}


def expert_tensor(facts: Facts) -> dict[str, Any]:
    """Tensor parallelism that is left inside an expert, where a framework takes all of tp by default."""
    tp, ep = whole(facts, "tp") or 1, whole(facts, "ep") or 1
    return {"expert_tp": max(1, tp // ep)} if ep > 1 and tp > 1 else {}


def stage_batch(facts: Facts) -> dict[str, Any]:
    """The local batch, which a pipeline cuts into micro-batches (torchtitan)."""
    micro, batch, dp = whole(facts, "micro_batch") or 1, whole(facts, "global_batch", None), replicas(facts)
    if (whole(facts, "pp") or 1) == 1 or not batch or not dp:
        return {"local_batch": micro, "stage_batch": None}
    return {"local_batch": batch // dp, "stage_batch": micro}


def of_stage_batch(facts: Facts) -> dict[str, Any]:
    """micro_batch and global_batch, as what a pipeline takes at once says."""
    local, stage, dp = whole(facts, "local_batch", None), whole(facts, "stage_batch"), replicas(facts)
    if local is None:
        return {}
    found: dict[str, Any] = {"micro_batch": local if (whole(facts, "pp") or 1) == 1 else stage}
    if facts.get("global_batch") is None and dp:
        found["global_batch"] = local * dp
    return found


LOOPED, PLAIN = "Interleaved1F1B", "1F1B"
"""Schedules of torch.distributed.pipelining."""


def looped(facts: Facts) -> dict[str, Any]:
    """The schedule, and layers of a virtual stage."""
    pp, vp, layers = (whole(facts, name) or 1 for name in ("pp", "vp", "model_layers"))
    return {"schedule": LOOPED, "stage_layers": -(-layers // (pp * vp))} if vp > 1 else {"schedule": PLAIN}


def of_looped(facts: Facts) -> dict[str, Any]:
    """vp, as the schedule and layers of a stage say."""
    if str(facts.get("schedule", PLAIN)).lower() != LOOPED.lower():
        return {"vp": 1}
    each, layers, pp = (whole(facts, name, None) for name in ("stage_layers", "model_layers", "pp"))
    return {"vp": max(1, layers // (each * pp))} if each and layers and pp else {"vp": 2}  # 2 a rank, if not given
