"""Translates facts into the keys and values of a framework and back, by its settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from fnmatch import fnmatchcase
from typing import Any

from llmplan.launch.target import Setting, keys_of
from llmplan.records import dataclass

NO_ANSWER = ("auto", "none", "null", "")
"""Values with which every framework leaves the choice to itself."""


@dataclass(frozen=True, slots=True)
class Item:
    """One key with its value, as read; line: counted from 1."""

    key: str
    value: Any
    line: int | None = None
    file: str = ""

    def __str__(self) -> str:
        shown = "" if self.value is True and self.key.startswith(("-", "$")) else f" {self.value}"
        return f"{self.key}{shown[:60]}"


@dataclass(slots=True)
class Read:
    """Facts read from items, the place of each, and items that were not understood."""

    facts: dict[str, Any] = field(default_factory=dict)
    places: dict[str, Item] = field(default_factory=dict)
    unread: list[Item] = field(default_factory=list)


def plain(value: Any) -> str:
    """A value as it is compared."""
    if isinstance(value, (list, tuple)):
        return ",".join(plain(one) for one in value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip().lower()


def spelled(key: str) -> str:
    """A key as it is compared: `--tp-size` and `--tp_size` are one, `-c` and `-C` are two."""
    return key.lstrip("-").replace("-", "_")


def written(settings: Iterable[Setting], facts: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Keys and values that express these facts; defaults of the framework are left out."""
    for setting in settings:
        value = facts.get(setting.word)
        if value is None or plain(value) in setting.silent:
            continue
        if setting.choices:
            yield from setting.choices.get(plain(value), {}).items()
        elif setting.key and (setting.default is None or plain(value) != plain(setting.default)):
            yield setting.key, _theirs(setting, value)


def same(settings: Iterable[Setting], word: str, one: Any, other: Any) -> bool:
    """Whether two values of an option are one to the framework (adam and adamw, where it has one for both)."""
    both = (plain(one), plain(other))
    theirs = [plain(setting.values.get(value, value)) for setting in settings if setting.word == word for value in both]
    return both[0] == both[1] or (len(theirs) > 1 and len({*theirs}) == 1)


def unsayable(settings: Iterable[Setting], facts: Mapping[str, Any]) -> list[str]:
    """Facts whose value the framework cannot express."""
    return [
        setting.word
        for setting in settings
        if (value := facts.get(setting.word)) is not None
        and plain(value) not in setting.silent
        and not _is_default(setting, value)
        and plain(value) not in (setting.choices or setting.values or (plain(value),))
    ]


def _is_default(setting: Setting, value: Any) -> bool:
    return setting.default is not None and plain(value) == plain(setting.default)


def _theirs(setting: Setting, value: Any) -> Any:
    if setting.values:
        return setting.values.get(plain(value), value)
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value)) if setting.joined == "commas" else list(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def read(settings: Iterable[Setting], items: Iterable[Item], ignored: Iterable[str] = ()) -> Read:
    """The facts that items express; of two items with one key the later one wins."""
    found = Read()
    by_key = {spelled(key): setting for setting in settings for key in keys_of(setting)}
    passed = tuple(f"{spelled(name)}." for name in ignored)
    of_setting: dict[int, tuple[Setting, list[Item]]] = {}
    for item in items:
        setting = by_key.get(spelled(item.key))
        if setting is not None:
            of_setting.setdefault(id(setting), (setting, []))[1].append(item)
        elif not f"{spelled(item.key)}.".startswith(passed):  # the key itself or a parent
            found.unread.append(item)
    for setting, its in of_setting.values():
        _fact(setting, its, found)
    return found


def defaults(settings: Iterable[Setting]) -> dict[str, Any]:
    """The defaults of the framework for options that are not given."""
    found: dict[str, Any] = {}
    for setting in settings:
        if setting.default is not None:
            found[setting.word] = setting.default
        elif (empty := [value for value, keys in setting.choices.items() if not keys]) and not setting.silent:
            found[setting.word] = empty[0]
    return found


def _fact(setting: Setting, items: list[Item], found: Read) -> None:
    """What the items of one setting say of its option."""
    if setting.choices:
        _chosen(setting, items, found)
        return
    for item in items:
        value = item.value
        if plain(value) in setting.reads:
            if not setting.reads[plain(value)]:  # the framework's own way to leave it open
                continue
            found.facts[setting.word] = setting.reads[plain(value)]
        elif setting.values:
            ours = next((ours for ours, theirs in setting.values.items() if plain(theirs) == plain(value)), None)
            if ours is not None:
                found.facts[setting.word] = ours
            elif plain(value) not in NO_ANSWER:
                found.unread.append(item)
                continue
        elif value is None or plain(value) in NO_ANSWER:
            continue
        elif isinstance(value, str) and "$" in value:  # a variable that nothing sets
            found.unread.append(item)
            continue
        else:
            found.facts[setting.word] = value.split(",") if setting.joined == "commas" and "," in str(value) else value
        found.places[setting.word] = item


def _chosen(setting: Setting, items: list[Item], found: Read) -> None:
    """The value that most keys say, of those that all of their keys do; what else stands there is not understood."""
    stands = {spelled(item.key): plain(item.value) for item in items}
    ways = [*setting.choices.items(), *((one.value, one.keys) for one in setting.alternatives)]
    complete = [(len(keys), ours, keys) for ours, keys in ways if keys and _all_stand(keys, stands)]
    if complete:
        _, ours, keys = max(complete, key=lambda way: way[0])
        found.facts[setting.word], found.places[setting.word] = ours, items[-1]
        items = [item for item in items if spelled(item.key) not in {spelled(key) for key in keys}]
    found.unread += [item for item in items if plain(item.value) not in (*NO_ANSWER, "false")]


def _all_stand(keys: Mapping[str, Any], stands: Mapping[str, str]) -> bool:
    return all(fnmatchcase(stands.get(spelled(key), ""), plain(value)) and spelled(key) in stands
               for key, value in keys.items())  # fmt: skip
