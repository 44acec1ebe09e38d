"""Warnings: one table of codes. `docs/warnings.md` and `llmplan explain LP0xx` are made from it.

A code never changes its meaning; a new warning takes the next free number.
"""

from __future__ import annotations

from typing import Any

from llmplan.records import dataclass
from llmplan.setup.plan import PlanWarning


@dataclass(frozen=True, slots=True)
class Code:
    """One kind of warning: a title, the sentence with its blanks, and a paragraph for the documentation."""

    title: str
    sentence: str
    doc: str

    @property
    def in_general(self) -> str:
        """The sentence of no plan, to be read: words in its blanks, without what hangs on a plan altogether."""
        sentence = self.sentence.removesuffix(": {remedy}")
        return self.title.lower() if sentence == "{message}" else sentence.format_map(_Blanks(_WORDS))


class _Blanks(dict[str, str]):
    def __missing__(self, blank: str) -> str:
        return "N"


_WORDS = dict.fromkeys(("peak", "needed", "size"), "N GiB") | dict.fromkeys(("usable", "have"), "M GiB") | {
    "low": "L", "high": "H GiB",
    "share": "N %", "whole": "the time", "load": "N %", "model": "the model", "family": "its own", "stack": "S",
    "known": "another kind", "workload": "this one", "vendor": "this vendor", "cluster": "C", "link": "a link",
    "name": "a time", "value": "N", "limit": "M", "seconds": "N s", "every": "N hours", "restart": "M hours",
    "instance": "an instance", "provider": "its provider", "date": "one date", "newest": "a later one",
    "kv_heads": "M", "domain": "M", "wanted": "M", "each": "L", "capacity": "M", "of": "M", "longest": "M",
}  # fmt: skip
"""What stands in the blanks of a sentence of no plan; a number where nothing is given."""


CODES: dict[str, Code] = {
    "LP001": Code(
        "Key-value heads are copied",
        "tp {tp} is more than the {kv_heads} key-value heads: each is held {copies} times",
        "With grouped-query attention the key and value projections cannot be cut finer than their heads. Beyond that "
        "every device of a group holds a copy, which costs memory and saves no time.",
    ),
    "LP002": Code(
        "Uneven pipeline",
        "{layers} layers over {stages} stages (pp {pp} x vp {vp}): some stages have one more and the others wait",
        "All stages of a pipeline wait for the fullest. The estimate takes the fullest stage for memory and for time. "
        "A number of layers that the stages divide wastes nothing.",
    ),
    "LP003": Code(
        "Sequence longer than the model's context",
        "seq_len {seq_len} is more than the {limit} tokens that {model} was made for",
        "The model runs, but positions beyond its context were not trained. Positional scaling may have to be changed.",
    ),
    "LP004": Code(
        "Learned positions end before the sequence",
        "seq_len {seq_len} is more than the {limit} learned positions of {model}: rows would have to be added",
        "A table of learned positions has no entry beyond its last row. The estimate counts the table as it is.",
    ),
    "LP005": Code(
        "Tensor parallelism leaves the fast domain",
        "tp {tp} is more than the {domain} devices that share {link}: its collectives cross the slower network",
        "Tensor parallelism communicates in every layer, and its slowest link sets the pace. It is allowed and the "
        "time is estimated, but pipeline parallelism across nodes is nearly always faster.",
    ),
    "LP006": Code(
        "Virtual stages without a pipeline",
        "vp {vp} has no effect with pp 1",
        "Interleaving divides the layers of a pipeline stage. With one stage there is nothing to interleave.",
    ),
    "LP007": Code(
        "Interleaving wants whole rounds",
        "{micro_batches} micro-batches are not a multiple of pp {pp}, which the interleaved schedule (vp {vp}) "
        "needs in most stacks",
        "Interleaved 1F1B hands micro-batches out in rounds of pp. Megatron-LM refuses other numbers.",
    ),
    "LP008": Code(
        "Fewer micro-batches than stages",
        "{micro_batches} micro-batches for {pp} pipeline stages: most of the step is the pipeline filling and draining",
        "The bubble takes (pp - 1) / vp micro-batches' time of each step. Raise the global batch or lower pp.",
    ),
    "LP009": Code(
        "Stack not made for this workload",
        "stack {stack} is described for {known}, not for {workload}: its numbers are stretched",
        "The catalogue entry of a stack lists the workloads that it was described for. Others are estimated with the "
        "same numbers, and the band does not account for it.",
    ),
    "LP010": Code(
        "Marginal fit",
        "memory is marginal: {peak} are predicted, {low} to {high}, and {usable} are usable",
        "The limit lies inside the 80 % band of the prediction. The run may fit or fail; leave room, or try it first.",
    ),
    "LP011": Code(
        "About the model",
        "{message}",
        "Something that was left out or simplified when the model's description was read, such as the vision tower "
        "of a multimodal model.",
    ),
    "LP012": Code(
        "Host memory",
        "what is offloaded takes {needed} of host memory a node, and cluster {cluster} has {have}",
        "Offloading moves optimizer states, or parameters with all their states, to the host, and "
        "`gpu_layers` layers with their cache, `kv_offloading_size` prefixes. They have to fit there too, or the plan "
        "does not fit.",
    ),
    "LP013": Code(
        "Stack not made for this device",
        "stack {stack} runs on devices of {known}, not of {vendor}: this cannot be run as planned",
        "The software's documentation names the makers of the devices that it runs on. The estimate goes on as if it "
        "ran on this one, with numbers measured elsewhere; name a stack that does.",
    ),
    "LP014": Code(
        "Model read by likeness",
        "{model} is of an unknown family ({family}): its counts are approximate",
        "Every key of the config is understood, but what else the family's code does is not known: further "
        "norms, gates or biases. Compare the parameter count with the published one, and take the figures as rough.",
    ),
    "LP020": Code(
        "More requests than places",
        "at most {resident} requests are resident at once, {queued} wait for a place",
        "The key-value cache has room for that many sequences of these lengths. The others wait; throughput is that "
        "of the resident ones, and the wait counts into the time to first token.",
    ),
    "LP021": Code(
        "Unstable at this rate",
        "unstable at this rate: {rate} requests a second arrive and {capacity} can be served, so the queue grows "
        "without end",
        "The times that are given are those at 93 % of the capacity. More replicas, fewer tokens or a faster layout "
        "are needed; `replicas_needed` says how many.",
    ),
    "LP022": Code(
        "Close to capacity",
        "the rate takes {load} of the capacity, which is itself only known within its band: waiting may be far longer",
        "Beyond 93 % of the capacity the time to first token depends on single percents of it. The times given are "
        "those at 93 %: expect at least these.",
    ),
    "LP023": Code(
        "Target missed",
        "{name} is {value} s and the target is {limit} s",
        "A limit on times, such as max_ttft or max_tpot_p95, is not met at this load. `replicas_needed` says how many "
        "copies of the deployment meet it; 0 means that no number of them does.",
    ),
    "LP024": Code(
        "Request longer than the cache",
        "one request of these lengths does not fit into the cache: the longest sequence that does has {longest} tokens",
        "The engine would refuse such a request or cut it off.",
    ),
    "LP025": Code(
        "No room for prefixes",
        "requests in flight leave room for {room} tokens of prefixes, and {wanted} prefixes of {each} are counted on",
        "A prefix that hits has to stay in the cache from one request to the next. Blocks that no running request "
        "holds keep prefixes until others need them; in a conversation, one for each request in flight is the least. "
        "Where there is no room for them they are computed again: lower prefix_hit, or give more devices or a "
        "narrower cache.",
    ),
    "LP026": Code(
        "Does not start with the model's whole context",
        "{stack} does not start without max_model_len here: the model's context of {context} tokens is longer than the "
        "{longest} that the cache has room for",
        "The engine wants room for a sequence of `max_model_len` tokens, and takes the model's whole context where it "
        "is not given. The estimate goes on as if it was started for the longest request of the plan: start it with "
        "`--max-model-len`, up to the length that is said.",
    ),
    "LP027": Code(
        "Fits with layers on the host",
        "it fits with gpu_layers {layers} of {of}, the others in host memory, and is slower then",
        "llama.cpp leaves layers in host memory (`-ngl`), where the processors of the host compute them, or weights "
        "are copied to the device for prompts. The number is the most that fit beside the cache of one request.",
    ),
    "LP030": Code(
        "Held back by memory capacity",
        "the plan takes {share} of the usable memory: {remedy}",
        "The fullest device would have to hold more than it has. Sharding more states (zero), cutting the model finer "
        "(tp, pp), recomputing activations or a smaller micro-batch lower the peak, each at a price in time.",
    ),
    "LP031": Code(
        "Held back by compute",
        "matrix units take {share} of {whole}: {remedy}",
        "Most of the step is matrix products at the rate that kernels reach. That is where a good plan ends up. What "
        "is left is to do less (less recomputation, a narrower precision) or to have more (more or faster devices).",
    ),
    "LP032": Code(
        "Held back by memory bandwidth",
        "memory traffic takes {share} of {whole}: {remedy}",
        "Norms, residuals, the optimizer and products with few rows move more bytes than they compute. More tokens a "
        "micro-batch and larger pieces of the model a device raise the work done for each byte.",
    ),
    "LP033": Code(
        "Held back by the scale-up network",
        "links between devices of a domain take {share} of {whole}: {remedy}",
        "Tensor and expert parallelism exchange activations in every layer. Their time grows with tokens and hardly "
        "falls with tp, so that a higher tp makes computation shorter and communication not.",
    ),
    "LP034": Code(
        "Held back by the scale-out network",
        "the network between nodes takes {share} of {whole}: {remedy}",
        "Gradients and parameters of data parallelism, and whatever parallelism is wider than a node, cross the "
        "slower network. A larger global batch hides more of it; tensor and expert parallelism belong inside a node.",
    ),
    "LP035": Code(
        "Held back by the pipeline bubble",
        "stages wait for {share} of the step while the pipeline fills and drains: {remedy}",
        "The bubble is (pp - 1) / vp micro-batches' time, however many micro-batches there are.",
    ),
    "LP036": Code(
        "Held back by the host",
        "the host takes {share} of {whole}: {remedy}",
        "The host launches some dozen operations a layer. Where a layer is done sooner than they are launched, the "
        "device waits. Larger micro-batches, fewer and fused operations, and captured graphs help. "
        "Layers in host memory (`gpu_layers`) wait for its memory, or for the link to it.",
    ),
    "LP037": Code(
        "Held back by stragglers",
        "waiting for the slowest node takes {share} of the step: {remedy}",
        "A synchronous step ends with its slowest device, and the slowest of many is slower. The loss grows with the "
        "logarithm of the number of nodes.",
    ),
    "LP038": Code(
        "Held back by storage",
        "reading data takes {share} of what storage gives: {remedy}",
        "The devices use tokens faster than the nodes read them together. The run then takes longer by that factor; "
        "the time of a step does not include the wait.",
    ),
    "LP040": Code(
        "Storage is slower than the step",
        "reading data needs {needed} and storage of cluster {cluster} gives {have}: the devices will wait for data",
        "The rate at which tokens are consumed, times their bytes on disk, is more than the nodes can read together.",
    ),
    "LP041": Code(
        "Checkpoints cost much time",
        "checkpoints of {size} take {seconds} to write, {share} of the run at the best interval: write them in the "
        "background or to faster storage",
        "Between two checkpoints sqrt(2 C M) - C seconds of work are best (Young, Daly): C to write one, M between "
        "interruptions. The estimate stops training while it writes, which asynchronous writers avoid.",
    ),
    "LP042": Code(
        "Something about the run is not known",
        "{message}",
        "A price, a power or a storage system that no source was found for stays unknown, and what depends on it is "
        "left out, not guessed. Options (price, grid, pue) and your own catalogue entries fill it in.",
    ),
    "LP043": Code(
        "Interruptions leave no time",
        "one interruption in {every} and {restart} to restart: the run makes no progress, and is counted without them",
        "With so many devices, or devices that fail so often, the job is stopped again before it has made up for the "
        "last time. Faster restarts, checkpoints in memory and spare nodes are needed, or fewer devices.",
    ),
    "LP044": Code(
        "Old price",
        "the price of {instance} ({provider}) is of {date}, and the newest of this device of {newest}",
        "Prices of accelerators fall by the month. The age counts from the newest known price of the same device, of "
        "whichever provider: nothing here depends on the day on which it is asked. `llmplan catalog import-prices` "
        "reads newer ones, and the option price puts your own in their place.",
    ),
}  # fmt: skip


def warning(code: str, **values: Any) -> PlanWarning:
    """The warning of that code with its blanks filled."""
    return PlanWarning(code, CODES[code].sentence.format(**values))
