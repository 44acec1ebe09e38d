"""Writes a plan as the command line and files of a framework, or says what the framework cannot express."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any

from llmplan.answer.resolve import AnyPlan
from llmplan.catalog.catalog import Catalog
from llmplan.errors import Fault, InputError
from llmplan.launch import pairs, text
from llmplan.launch.cannot import faults_of
from llmplan.launch.checkpoints import checkpoint
from llmplan.launch.facts import words_of
from llmplan.launch.of_plan import facts_of
from llmplan.launch.target import Frame, Target, frames
from llmplan.records import dataclass
from llmplan.setup.request import Request

PLAN = "# plan: "
"""What stands before the words that a framework does not take; read back with the rest."""
STARTS = ("bash", "python", "torchrun", "deepspeed")
"""Programs that others start."""


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
        """Comments: what this is, and the options that the framework lacks."""
        title = f"# {self.target.name} {self.target.version}, as `llmplan launch --for {self.target.id}` writes it\n"
        return title + (f"{PLAN}{json.dumps(self.rest)}\n" if self.rest else "")

    @property
    def script(self) -> str:
        """A script that writes the files and starts the command."""
        inside = "".join(f"cat > {name} <<'END'\n{body}END\n" for name, body in self.files.items())
        inside += f"{self.before}\n" if self.before else ""
        return self.head + inside + text.command_text(self.words, (*STARTS, self.target.program[0]))


@dataclass(slots=True)
class _Settled:
    """Keys and values of a target and of its launcher."""

    positional: list[pairs.Item] = field(default_factory=list)
    target: list[tuple[str, Any]] = field(default_factory=list)
    frame: list[tuple[str, Any]] = field(default_factory=list)


def meant_for(target: Target, wanted: Request, others: Iterable[str] = ()) -> Request:
    """A request as this framework runs it: its stack, and what it decides by itself, where nothing else was given.

    others: words that are given elsewhere (the lists and ranges of a search).
    """
    given = {*wanted.options.stated(), *others}
    changes: dict[str, Any] = {"stack": target.stacks[0]} | target.implied
    if len(target.workloads) == 1:
        changes["workload"] = target.workloads[0]
    return wanted.changed(**{name: value for name, value in changes.items() if name not in given})


def launch(plan: AnyPlan, target: Target, catalog: Catalog, launcher: str | None = None) -> Launch:
    """What starts the plan; an InputError with everything that the framework cannot do.

    launcher: what starts it on many devices, instead of the target's own.
    """
    frame, around = _frames(target, launcher)
    facts, notes = facts_of(plan, target, catalog)
    settings = (*target.settings, *target.shape)
    settled = _Settled(
        _named(target, facts),
        [*pairs.written(settings, facts)],
        [*pairs.written(frame.settings, facts)] if frame else [],
    )
    items = [*settled.positional, *(pairs.Item(key, value) for key, value in settled.target)]
    faults = faults_of(plan, target, facts, items, settings)
    if faults:
        raise InputError([Fault(f"{target.name} {target.version}: {fault}") for fault in faults])
    if plan.stack.id not in target.stacks:
        notes.append(f"the plan is estimated for stack {plan.stack.id}; {target.name} is {target.stacks[0]}")
    files, words = _parts(target, frame, facts, settled)
    rest = _rest(plan, target, frame or around, facts, settled, catalog)
    before = ""
    if around is not None:
        words = _around(around, facts, words)
        before = around.head if facts["nodes"] > 1 else ""
    return Launch(target, tuple(words), files, rest, facts["nodes"], facts["node_devices"], before, tuple(notes))


def _named(target: Target, facts: Mapping[str, Any]) -> list[pairs.Item]:
    """The word that stands right after the program, under the name that it is read by."""
    found = [one for one in target.settings if one.word == target.positional]
    return [pairs.Item(one.also[0], facts[one.word]) for one in found]


def _frames(target: Target, launcher: str | None) -> tuple[Frame | None, Frame | None]:
    """What starts the processes of a node, and what starts that on each node."""
    asked = frames()[launcher] if launcher else None
    own = frames()[target.frame] if target.frame else None
    return (own, asked) if asked is None or asked.around else (asked, None)


def _around(frame: Frame, facts: Mapping[str, Any], words: list[str]) -> list[str]:
    """Starts one process a node, in a shell if it needs the rank of the node."""
    start = [*frame.program, *text.arguments(pairs.written(frame.settings, facts), "flags")]
    if not any("$NODE_RANK" in word for word in words):
        return [*start, *words]
    inside = text.command_text([word.replace("$NODE_RANK", frame.node_rank) for word in words])
    return [*start, "bash", "-c", inside.replace(" \\\n ", "").strip()]


def _parts(
    target: Target, frame: Frame | None, facts: Mapping[str, Any], settled: _Settled
) -> tuple[dict[str, str], list[str]]:
    """The files, and the words of the command."""
    in_file = [(key, value) for key, value in settled.target if target.file and not key.startswith("-")]
    options = [(key, value) for key, value in settled.target if (key, value) not in in_file]
    files = {target.file: text.file_text(in_file, target.file)} if target.file else {}
    program = [one.format_map(facts) if one.startswith("{") else one for one in target.program]
    if target.positional:
        program.append(str(facts[target.positional]))
    if target.file:
        program += [one.replace("{file}", target.file) for one in target.file_option]
    program += text.arguments(options, target.form)
    if facts["nodes"] > 1 and frame is None and not target.own_frame:
        if not target.over_nodes:
            raise InputError(Fault(f"{target.name}: {facts['devices']} devices are {facts['nodes']} nodes, and it runs "
                                   "on one; name what starts it on several (--launcher)"))  # fmt: skip
        program += [one.replace("{nodes}", str(facts["nodes"])) for one in target.over_nodes]
    if frame is None:
        return files, ["python", *program] if _is_python(program) else program
    start = [*frame.program, *text.arguments(settled.frame, frame.form)]
    return files, [*start, *(frame.over_nodes if facts["nodes"] > 1 else ()), *program]


def _is_python(program: list[str]) -> bool:
    return program[0] == "-m" or program[0].endswith(".py")


def _rest(
    plan: AnyPlan, target: Target, frame: Frame | None, facts: Mapping[str, Any], settled: _Settled, catalog: Catalog
) -> dict[str, Any]:
    """Options of the plan that cannot be read back from what is written."""
    framed = [*pairs.written(frame.settings, facts)] if frame is not None else []
    items = [*settled.positional, *(pairs.Item(key, value) for key, value in (*settled.target, *framed))]
    known = {"model_experts": facts["model_experts"]}
    back = words_of(target, frame, items, known).words
    if "devices" not in back:  # it runs on all that there are
        back = words_of(target, frame, items, {**known, "devices": facts["devices"]}).words
    back.setdefault("stack", target.stacks[0])
    if len(target.workloads) == 1:
        back.setdefault("workload", target.workloads[0])
    if "adapters" in target.relations and "lora_targets" in back:
        back["lora_targets"] = plan.as_options().get("lora_targets")  # other names of the same matrices
    if "checkpoint" in target.relations and checkpoint(plan, catalog)[1]:
        back["model"] = plan.as_options()["model"]  # the checkpoint has another name, and means the same model
    return {
        name: value for name, value in plan.as_options().items()
        if back.get(name) is None or pairs.plain(back[name]) != pairs.plain(value)
    }  # fmt: skip
