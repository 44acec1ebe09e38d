"""A plan as what starts it: all that the plan decides in a framework's own names, or a fault for what it cannot say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llmplan.answer.resolve import Plan
from llmplan.catalog.catalog import Catalog
from llmplan.errors import Fault, InputError
from llmplan.launch import pairs, text
from llmplan.launch.checkpoints import checkpoint
from llmplan.launch.facts import words_of
from llmplan.launch.relations import RELATIONS
from llmplan.launch.shape import shape_facts
from llmplan.launch.target import Frame, Setting, Target, frames
from llmplan.serving.plan import ServingPlan
from llmplan.setup.layout import Layout
from llmplan.setup.request import Request
from llmplan.training.plan import TrainingPlan

PLAN = "# plan: "
"""What stands before the words that a framework does not take; read back with the rest."""
NAMED = ("steps", "tokens", "prefill_devices")
NOT_SAID = (
    "load",
    "batch",
    "request_rate",
    "input_tokens",
    "output_tokens",
    "acceptance",
    "max_ttft",
    "max_ttft_p95",
    "max_tpot",
)
"""Words of a deployment that are of its requests, not of the engine."""
STARTS = ("bash", "python", "torchrun", "deepspeed")
"""Programs that others start."""
NONE = ("none", "false", "1", "0")
"""Values with which a word asks for nothing."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What starts a plan.

    words: of the command; files: name -> text; rest: words of the plan that the framework does not take;
    before: a line that the script has first; notes: what should be known before it is started.
    """

    target: Target
    words: tuple[str, ...]
    files: dict[str, str]
    rest: dict[str, Any]
    nodes: int = 1
    node_devices: int = 1
    before: str = ""
    notes: tuple[str, ...] = ()

    @property
    def head(self) -> str:
        """Comments that say what it is, and the rest of the plan."""
        title = f"# {self.target.name} {self.target.version}, as `llmplan launch --for {self.target.id}` writes it\n"
        return title + (f"{PLAN}{json.dumps(self.rest)}\n" if self.rest else "")

    @property
    def script(self) -> str:
        """A script that writes the files and starts the command."""
        inside = "".join(f"cat > {name} <<'END'\n{body}END\n" for name, body in self.files.items())
        inside += f"{self.before}\n" if self.before else ""
        return self.head + inside + text.command_text(self.words, (*STARTS, self.target.program[0]))


@dataclass(slots=True)
class _Said:
    """What the settings of a target and of its frame say."""

    target: list[tuple[str, Any]] = field(default_factory=list)
    frame: list[tuple[str, Any]] = field(default_factory=list)


def meant_for(target: Target, wanted: Request) -> Request:
    """A request as this framework runs it: its stack, and what it decides by itself, where nothing else was said."""
    said = wanted.options.said()
    changes: dict[str, Any] = {"stack": target.stacks[0]} | target.implied
    if len(target.workloads) == 1:
        changes["workload"] = target.workloads[0]
    return wanted.changed(**{name: value for name, value in changes.items() if name not in said})


def launch(plan: Plan, target: Target, catalog: Catalog, launcher: str | None = None) -> Launch:
    """What starts the plan; an InputError with everything that the framework cannot do.

    launcher: what starts it on many devices, instead of the target's own.
    """
    frame, around = _frames(target, launcher)
    facts, notes = _facts(plan, target, catalog)
    settings = (*target.settings, *target.shape)
    said = _Said([*pairs.written(settings, facts)], [*pairs.written(frame.settings, facts)] if frame else [])
    faults = _faults(plan, target, facts, said, settings)
    if faults:
        raise InputError([Fault(f"{target.name} {target.version}: {fault}") for fault in faults])
    if plan.stack.id not in target.stacks:
        notes.append(f"the plan is estimated for stack {plan.stack.id}; {target.name} is {target.stacks[0]}")
    files, words = _parts(target, frame, facts, said)
    rest = _rest(plan, target, frame or around, facts, said, catalog)
    before = ""
    if around is not None:
        words = _around(around, facts, words)
        before = around.head if facts["nodes"] > 1 else ""
    return Launch(target, tuple(words), files, rest, facts["nodes"], facts["node_devices"], before, tuple(notes))


def _frames(target: Target, launcher: str | None) -> tuple[Frame | None, Frame | None]:
    """What starts the processes of a node, and what starts that on each node."""
    asked = frames()[launcher] if launcher else None
    own = frames()[target.frame] if target.frame else None
    return (own, asked) if asked is None or asked.around else (asked, None)


def _around(frame: Frame, facts: Mapping[str, Any], words: list[str]) -> list[str]:
    """One process a node; a shell in it where the node has to say which it is."""
    start = [*frame.program, *text.arguments(pairs.written(frame.settings, facts), "flags")]
    if not any("$NODE_RANK" in word for word in words):
        return [*start, *words]
    inside = text.command_text([word.replace("$NODE_RANK", frame.node_rank) for word in words])
    return [*start, "bash", "-c", inside.replace(" \\\n ", "").strip()]


def _facts(plan: Plan, target: Target, catalog: Catalog) -> tuple[dict[str, Any], list[str]]:
    """Words of the plan, what follows from them, and notes."""
    facts, notes = plan.words(), list[str]()
    facts |= {"model_layers": plan.model.layer_count, "model_id": plan.model.name}
    if any(setting.word in ("checkpoint", "model") for setting in target.settings):
        name, known = checkpoint(plan, catalog)
        facts["checkpoint"] = name
        if not known:
            notes.append(f"no checkpoint of {name} is known to the catalogue: put its name or path in its place")
    if target.shape:
        known_words = frozenset(setting.word for setting in target.shape)
        try:
            facts |= shape_facts(_spec(plan, catalog), known_words)
        except InputError as error:
            raise InputError([Fault(f"{target.name}: {fault.message}") for fault in error.faults]) from None
    if isinstance(plan, ServingPlan):
        facts |= _asked(plan)
    for name in ("nodes", *target.relations):
        facts |= RELATIONS[name].further(facts)
    return facts, notes


def _spec(plan: Plan, catalog: Catalog) -> Any:
    """The model as it is written: by its name, or in the plan itself."""
    from llmplan.catalog.load_model import find_model
    from llmplan.files import Document
    from llmplan.model.spec import model_spec

    model = plan.words()["model"]
    return model_spec(Document(model, "model")) if isinstance(model, dict) else find_model(model, catalog).spec


def _asked(plan: ServingPlan) -> dict[str, Any]:
    """Precisions that the engine does not come to by itself."""
    from llmplan.serving.defaults import kv_precision

    work, device = plan.workload, plan.device
    found: dict[str, Any] = {}
    if not plan.as_released:
        found["weight_precision_asked"] = work.weight_precision
    if work.kv_precision != kv_precision(plan.model, work.activation_precision, plan.engine.policy, device):
        found["kv_precision_asked"] = work.kv_precision
    return found


def _faults(
    plan: Plan, target: Target, facts: Mapping[str, Any], said: _Said, settings: tuple[Setting, ...]
) -> list[str]:
    """What the framework cannot do: words it has no value for, and words that would be read back as others."""
    words = plan.words()
    if words.get("workload", "pretrain") not in target.workloads:
        return [f"is for {' and '.join(target.workloads)}, and the workload is {words.get('workload')}"]
    wrong = dict.fromkeys(pairs.unsayable(settings, facts))
    back = words_of(target, None, [pairs.Item(key, value) for key, value in said.target]).words
    for name in _decided(plan):
        value = words.get(name)
        if _idle(name, words):
            continue
        if value is None or name in target.elsewhere or f"{name}_asked" in facts or name in wrong:
            continue
        got = back.get(name)
        silent = any(setting.word == name and pairs.plain(value) in setting.silent for setting in settings)
        missing = got is None and not silent and pairs.plain(value) not in NONE and name not in _derivable(target)
        if missing or (got is not None and not pairs.same(settings, name, got, value)):
            wrong[name] = None
    return [_fault(target, name, facts.get(name), back.get(name)) for name in wrong]


def _idle(name: str, words: Mapping[str, Any]) -> bool:
    """Whether a word means nothing beside the others of this plan."""
    if name == "sequence_parallel":
        return words.get("tp") == 1
    return name == "offload_optimizer" and bool(words.get("offload_parameters"))


def _decided(plan: Plan) -> tuple[str, ...]:
    """Words that the way it runs depends on."""
    if isinstance(plan, ServingPlan):
        own = (*type(plan.workload).model_fields, "prefill_devices")
        layout = ("tp", "pp", "cp", "ep", "dp")
        derived = ("weight_precision", "activation_precision", "kv_precision")
        return tuple(name for name in (*layout, *own) if name not in (*NOT_SAID, *derived))
    assert isinstance(plan, TrainingPlan)
    own = tuple(name for name in type(plan.workload).model_fields if name != "tokens")
    return (*Layout.model_fields, *own)


def _derivable(target: Target) -> frozenset[str]:
    """Words that follow from the devices, which a frame or another option says."""
    return frozenset({"dp", "global_batch"} if {"accumulation", "micro_batch"} & {*target.relations} else {"dp"})


def _fault(target: Target, name: str, value: Any, got: Any) -> str:
    word = name.removesuffix("_asked")
    shown = pairs.plain(value)
    why = target.cannot.get(word) or (f"it is {pairs.plain(got)}" if got is not None else "it has no option for it")
    return f"{word} {shown}: {why}"


def _parts(
    target: Target, frame: Frame | None, facts: Mapping[str, Any], said: _Said
) -> tuple[dict[str, str], list[str]]:
    """The files, and the words of the command."""
    in_file = [(key, value) for key, value in said.target if target.file and not key.startswith("-")]
    options = [(key, value) for key, value in said.target if (key, value) not in in_file]
    files = {target.file: text.file_text(in_file, target.file)} if target.file else {}
    program = [*target.program]
    if target.positional:
        program.append(str(facts[target.positional]))
    if target.file:
        program += [one.replace("{file}", target.file) for one in target.file_option]
    program += text.arguments(options, target.form)
    if facts["nodes"] > 1 and frame is None:
        if not target.over_nodes:
            raise InputError(Fault(f"{target.name}: {facts['devices']} devices are {facts['nodes']} nodes, and it runs "
                                   "on one; name what starts it on several (--launcher)"))  # fmt: skip
        program += [one.replace("{nodes}", str(facts["nodes"])) for one in target.over_nodes]
    if frame is None:
        return files, ["python", *program] if _is_python(program) else program
    start = [*frame.program, *text.arguments(said.frame, "flags")]
    return files, [*start, *(frame.over_nodes if facts["nodes"] > 1 else ()), *program]


def _is_python(program: list[str]) -> bool:
    return program[0] == "-m" or program[0].endswith(".py")


def _rest(
    plan: Plan, target: Target, frame: Frame | None, facts: Mapping[str, Any], said: _Said, catalog: Catalog
) -> dict[str, Any]:
    """Words of the plan that what is written does not give back."""
    framed = [*pairs.written(frame.settings, facts)] if frame is not None else []
    items = [pairs.Item(key, value) for key, value in (*said.target, *framed)]
    back = words_of(target, frame, items).words
    back.setdefault("stack", target.stacks[0])
    if len(target.workloads) == 1:
        back.setdefault("workload", target.workloads[0])
    if "checkpoint" in target.relations and checkpoint(plan, catalog)[1]:
        back["model"] = plan.words()["model"]  # the checkpoint has another name, and means the same model
    return {
        name: value for name, value in plan.words().items()
        if back.get(name) is None or pairs.plain(back[name]) != pairs.plain(value)
    }  # fmt: skip
