"""Where a number of a plan was read: the field of a catalogue entry, the option, or the default of a type.

Paths are those of `llmplan.answer.named`. The entries are read again and looked through in the order in which the
catalogue fills them up, so that a number measured on a like device, or taken from a parent stack, names that entry.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmplan.catalog.entries import read_entry
from llmplan.catalog.inheritance import BY_KIND, GENERIC
from llmplan.files import builtin
from llmplan.records import dataclass
from llmplan.setup.options import VOCABULARY
from llmplan.software.versions import choose

if TYPE_CHECKING:
    from llmplan.answer.resolve import AnyPlan
    from llmplan.catalog.catalog import Catalog

Data = dict[str, Any]
_ROOT = builtin().parent


@dataclass(frozen=True)
class EntryPart:
    """A part of an entry's file that may hold a number: the file, the keys that lead to the part, the part."""

    file: Path
    keys: tuple[str, ...]
    data: Any

    def has(self, path: tuple[str, ...]) -> bool:
        """Whether the path is written there."""
        return _at(self.data, path) is not None

    def field(self, path: tuple[str, ...]) -> str:
        """`hardware_catalog/devices/h100-sxm-80gb.yaml: memory.bandwidth`."""
        return f"{shown(self.file)}: {'.'.join((*self.keys, *path))}"


@dataclass(frozen=True)
class Origins:
    """Origins of the numbers of one plan."""

    plan: AnyPlan
    catalog: Catalog
    model_file: str = ""
    """Of the model's entry, where it was read again; else its numbers are named as the planner sees them."""
    _read: dict[Path, Any] = field(default_factory=dict, repr=False)

    def of(self, path: str) -> str:
        """Where the number at that path was read, in one line."""
        head, *rest = path.split(".")
        finders = {
            "device": self._device, "cluster": self._cluster, "coefficients": self._coefficients,
            "recipe": lambda keys: self._of_stack("training", keys), "engine": self._engine, "stack": self._part,
            "options": lambda keys: option(keys[0]), "layout": self._word, "workload": self._word,
            "prefill": lambda keys: self._word((f"prefill_{keys[0]}",)), "model": self._model, "spec": self._spec,
            "image": self._image,
            "sound": self._sound,
        }  # fmt: skip
        if head in finders:
            return finders[head](tuple(rest))
        return self._table(head, tuple(rest))

    def _device(self, keys: tuple[str, ...]) -> str:
        if keys[0] != "efficiency":
            return self._written([self._file("devices", self.plan.device.id)], keys, 1, f"device.{'.'.join(keys)}")
        depth = 2 if keys[1] in BY_KIND else 1
        return self._written(list(self._efficiencies()), keys[1:], depth, f"device.{'.'.join(keys)}")

    def _efficiencies(self) -> Iterator[EntryPart]:
        """Measured efficiencies of the device, of the one that it is like, of its kind."""
        layer = self._file("devices", self.plan.device.id)
        while True:
            own = layer.data.get("efficiency") or {}
            yield EntryPart(layer.file, ("efficiency",), own)
            if not own.get("like"):
                break
            layer = self._file("devices", own["like"])
        path, kind = builtin() / "efficiency.yaml", self.plan.device.kind
        yield self._layer(path, kind)

    def _cluster(self, keys: tuple[str, ...]) -> str:
        if keys[0] == "devices_per_node" and self.plan.options.devices_per_node is not None:
            return option(keys[0])
        return self._written([self._file("clusters", self.plan.cluster.id)], keys, 1, f"cluster.{'.'.join(keys)}")

    @cached_property
    def _stacks(self) -> list[EntryPart]:
        """The stack's entry and those that it inherits from."""
        found = [self._file("stacks", self.plan.stack.id)]
        while parent := found[-1].data.get("parent"):
            found.append(self._file("stacks", parent))
        return found

    @cached_property
    def _version(self) -> list[EntryPart]:
        """The version of the stack that the plan means, where its entry tells some apart."""
        versions = self.plan.stack.versions
        taken = choose(versions, self.plan.options.stack_version)
        if taken is None:
            return []
        index = versions.index(taken)
        return [EntryPart(self._stacks[0].file, ("versions", str(index)), self._stacks[0].data["versions"][index])]

    def _coefficients(self, keys: tuple[str, ...]) -> str:
        layers = [*self._version, *self._stacks]
        if self._stacks[-1].file.stem != GENERIC:
            layers.append(self._file("stacks", GENERIC))
        found = next((layer.field(("fitted", *keys)) for layer in layers if layer.has(("fitted", *keys))), None)
        return found or f"{shown(builtin() / 'numbers.yaml')}: {keys[0]}.prior"

    def _of_stack(self, part: str, keys: tuple[str, ...]) -> str:
        """`training`, `policy` or `memory` of the version, of a rule, of the stack or of its parent."""
        for layer in (*self._version, *self._rules):
            if layer.has((part, *keys)):
                return layer.field((part, *keys))
        path = {"training": "recipe", "policy": "engine.policy", "memory": "stack.memory"}[part]
        return self._written(self._stacks, (part, *keys), 1, ".".join((path, *keys)))

    @cached_property
    def _rules(self) -> list[EntryPart]:
        """Rules of the engine that hold in the plan's version, the latest first."""
        count = len(self.plan.stack.rules_at(self.plan.options.stack_version))
        rules = self._stacks[0].data.get("rules", [])[:count]
        return [
            EntryPart(self._stacks[0].file, ("rules", str(index)), rules[index]) for index in reversed(range(count))
        ]

    def _engine(self, keys: tuple[str, ...]) -> str:
        """A field of the engine's policy, including changes by options or for a small device."""
        from llmplan.serving.resolve import POLICY_OPTIONS, size_of

        name, plan = keys[1], self.plan
        release = plan.stack.at(plan.options.stack_version).policy
        if getattr(release, name) == getattr(plan.engine.policy, name):  # type: ignore[union-attr]
            return self._of_stack(keys[0], keys[1:])
        word = POLICY_OPTIONS.get(name, "enforce_eager")
        if getattr(plan.options, word) is not None:
            return option(word)
        size = size_of(plan.engine.policy, plan.device)  # type: ignore[union-attr]
        if size is not None and getattr(release.device_sizes[size], name, None) is not None:  # type: ignore[union-attr]
            return self._of_stack("policy", ("device_sizes", str(size), name))
        return f"{word}: the longest request, which this engine does not cut"

    def _part(self, keys: tuple[str, ...]) -> str:
        return self._of_stack(keys[0], keys[1:])

    def _word(self, keys: tuple[str, ...]) -> str:
        """An option that was given, or why it is what it is."""
        name = keys[0]
        if getattr(self.plan.options, name, None) is not None:
            return option(name)
        if name == "dp":
            return "dp: devices / (tp x pp x cp)"
        for text in self.plan.assumptions:
            words, colon, why = text.partition(": ")
            if colon and name in (word.split()[0] for word in words.split(", ")):
                return f"{name}: {why}"
        return f"{name}: the default"

    def _model(self, keys: tuple[str, ...]) -> str:
        if self.model_file and keys[0] == "layers" and keys[-1] == "count" and len(self.plan.model.layers) == 1:
            return self._spec(("layers",))
        return f"model {self.plan.model.name}: {'.'.join(keys)}"

    def _image(self, keys: tuple[str, ...]) -> str:
        """What one image is to the model, by the rule of its family."""
        size = getattr(self.plan.workload, "image_size", None)
        rule = self.plan.model.vision.rule.rule if self.plan.model.vision is not None else ""
        return f"{keys[0]} of an image of {size}, cut by the rule {rule} of {self.plan.model.family}"

    def _sound(self, keys: tuple[str, ...]) -> str:
        """What the sound of a prompt is to the model, by the rule of its family."""
        seconds = getattr(self.plan.workload, "audio_seconds", None)
        return f"{keys[0]} of {seconds:g} s of sound, by the rule of {self.plan.model.family}"

    def _spec(self, keys: tuple[str, ...]) -> str:
        """A field of the model's entry, or of a Hugging Face config as it is read."""
        file = Path(self.model_file)
        if file.suffix.lower() not in (".yaml", ".yml"):
            return f"{shown(file)}: read as {'.'.join(keys)}"
        layer = self._layer(file)
        return layer.field(keys) if layer.has(keys) else f"llmplan/model/spec.py: ModelSpec.{keys[0]}"

    def _table(self, name: str, keys: tuple[str, ...]) -> str:
        """A file that is one table, or a list of prices."""
        if name == "prices":
            return self._file("prices", keys[0]).field(keys[1:])
        return f"{shown(self.catalog.table_file(name))}: {'.'.join(keys)}"

    def _file(self, kind: str, name: str) -> EntryPart:
        return self._layer(self.catalog.find(kind, name))

    def _layer(self, path: Path, *keys: str) -> EntryPart:
        """A file, or the part of it under the keys."""
        if path not in self._read:
            self._read[path] = read_entry(path).data
        return EntryPart(path, keys, _at(self._read[path], keys))

    def _written(self, layers: list[EntryPart], keys: tuple[str, ...], depth: int, path: str) -> str:
        """The field of the first layer that has the first `depth` keys; else the default of its type."""
        layer = next((layer for layer in layers if layer.has(keys[:depth])), None)
        return layer.field(keys) if layer is not None and layer.has(keys) else self._default(path)

    def _default(self, path: str) -> str:
        """The class whose field it is."""
        owner: Any = self.plan
        named, keys = owner, path.split(".")
        for index, key in enumerate(keys):
            if not isinstance(owner, dict):
                named, field_ = owner, ".".join(keys[index:])
            owner = owner[key] if isinstance(owner, dict) else getattr(owner, key)
        kind = type(named)
        return f"{kind.__module__.replace('.', '/')}.py: {kind.__name__}.{field_}"


def option(name: str) -> str:
    """`--seq-len`."""
    assert name in VOCABULARY
    return f"--{name.replace('_', '-')}"


def shown(file: Path) -> str:
    """A file of the built-in catalogue from its root, one of the user's as it is."""
    return str(file.relative_to(_ROOT) if file.is_relative_to(_ROOT) else file)


def _at(data: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if isinstance(data, list):
            data = data[int(key)] if key.isdigit() and int(key) < len(data) else None
        else:
            data = data.get(key) if isinstance(data, dict) else None
    return data
