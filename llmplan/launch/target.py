"""A framework that runs plans: its names for the options of a plan, from `hardware_catalog/launchers/`."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from llmplan.catalog.entries import entry_files, normal, read_entry
from llmplan.errors import Fault, InputError, did_you_mean
from llmplan.files import builtin
from llmplan.launch.relations import DERIVED, RELATIONS
from llmplan.records import replace
from llmplan.rules import Within
from llmplan.schema import Source, Spec, check
from llmplan.setup.options import VOCABULARY
from llmplan.vocabulary import WorkloadKind

Scalar = bool | int | float | str
Said = Scalar | list[str]
FOLDER = "launchers"
FRAMES = "frames"
"""The file of that folder that is no target: what starts a program on many devices."""


class OtherWay(Spec):
    """Another notation of a value, accepted when read; `*` in a value of `keys` matches anything."""

    value: str
    keys: dict[str, Said]


class Setting(Spec):
    """One option of a plan, or one that follows from several (`relations`), as a framework writes it.

    `key` where one key says it, `choices` where several do, `also` alone where it is only read. Values are compared as
    text, in lower case.
    """

    word: str
    key: str = ""
    """An option (`--tensor-parallel-size`) of the command, or the path of a key in the file (`fsdp_config.version`)."""
    also: tuple[str, ...] = ()
    """Other names of the key, which are read."""
    default: Scalar | None = None
    """What the framework takes where nothing stands there: not written, and read from its absence."""
    values: dict[str, Scalar] = {}
    """Our value -> theirs, where they differ; a value that is not there cannot be said."""
    reads: dict[str, str] = {}
    """Further values of theirs -> ours."""
    choices: dict[str, dict[str, Said]] = {}
    """Our value -> all the keys that say it; with none, it is what the framework does where none of them stands."""
    alternatives: tuple[OtherWay, ...] = ()
    silent: tuple[str, ...] = ()
    """Values that the framework comes to by itself: nothing is written, and nothing read."""
    joined: Literal["list", "commas", "spaces"] = "list"
    """How several values stand: as a list of the file, with commas, or as one argument after the other."""


class GraphEngine(Spec):
    """A target as a worker of a graph (Dynamo)."""

    program: tuple[str, ...]
    model: str
    """The option that names the checkpoint."""
    image: str
    file_option: tuple[str, ...] = ()
    pools: dict[str, tuple[str, ...]] = {}
    """Arguments of each of two pools."""
    in_file: dict[str, dict[str, Scalar]] = {}
    """The same in its configuration file."""


class Frame(Spec):
    """What starts a program on the devices of one or many nodes (torchrun, srun, deepspeed, accelerate launch)."""

    program: tuple[str, ...]
    settings: tuple[Setting, ...]
    over_nodes: tuple[str, ...] = ()
    """Arguments that it takes where there are several nodes."""
    form: Literal["flags", "overrides"] = "flags"
    """`overrides` for variables of the environment, `NAME=value` before the program."""
    around: bool = False
    """Whether it starts one process a node, in which the target's own frame starts the others."""
    head: str = ""
    """A line of the script before it, where there are several nodes."""
    node_rank: str = "$NODE_RANK"
    """Where a node reads which of them it is."""
    ignored: tuple[str, ...] = ()
    """Names that change nothing that is planned."""
    resources: dict[str, str] = {}
    """Maker of a device -> the resource that a container asks for (Kubernetes)."""
    engines: dict[str, GraphEngine] = {}
    """Targets that are workers of a graph here."""
    sources: tuple[Source, ...]


class Target(Spec):
    """A framework in a stated version."""

    id: str = ""
    name: str
    aliases: tuple[str, ...] = ()
    version: str
    stacks: Annotated[tuple[str, ...], Within(min_length=1)]
    """Stacks that run so; the first is meant where a command line is read."""
    workloads: tuple[WorkloadKind, ...]
    program: tuple[str, ...]
    """What is started; `-m` before a module of Python."""
    form: Literal["flags", "overrides"] = "flags"
    """How its command line is written: `--name value`, or `name=value`."""
    positional: str = ""
    """What stands right after the program."""
    image: str = ""
    """An image of containers that has it."""
    frame: str = ""
    """What starts it unless another is asked for; nothing where it starts its own processes."""
    own_frame: bool = False
    """Whether its own settings say nodes and devices."""
    over_nodes: tuple[str, ...] = ()
    """Its own arguments where it runs on several nodes without a frame of its own."""
    file: str = ""
    """Name of its configuration file, which says its form: .json, .yaml or .toml."""
    file_option: tuple[str, ...] = ()
    """Arguments that name that file, which stands where `{file}` does."""
    settings: tuple[Setting, ...]
    shape: tuple[Setting, ...] = ()
    """The shape of a model, where the framework takes that in place of a name: keys of a model file, and those of
    `llmplan.launch.shape`."""
    relations: tuple[str, ...] = ()
    """What several options say together (`llmplan.launch.relations`), in the order in which they are read."""
    implied: dict[str, Scalar] = {}
    """Options that the framework decides by itself."""
    by_recipe: tuple[str, ...] = ()
    """Options that its recipe decides where nothing says them, as no table here knows."""
    elsewhere: tuple[str, ...] = ()
    """Options that a script of the user says, and not these files."""
    notes: tuple[str, ...] = ()
    """What should be known before it is started."""
    cannot: dict[str, str] = {}
    """Option -> why some of its values cannot be said."""
    ignored: tuple[str, ...] = ()
    """Names that change nothing that is planned, and are passed over when read."""
    switches: tuple[str, ...] = ()
    """Of those, options that take no value."""
    sources: tuple[Source, ...]
    date: str


def keys_of(setting: Setting) -> tuple[str, ...]:
    """Every key that affects it."""
    ways = [*setting.choices.values(), *(one.keys for one in setting.alternatives)]
    chosen = dict.fromkeys(key for keys in ways for key in keys)
    return (*((setting.key,) if setting.key else ()), *setting.also, *chosen)


def target(name: str) -> Target:
    """The target of that id or alias; an InputError with the nearest names where there is none."""
    known = {alias: path for path in _files() for alias in (path.stem, *_aliases(path))}
    path = known.get(normal(name))
    if path is None:
        ids = ", ".join(sorted(one.stem for one in _files()))
        raise InputError(f"no launcher is called {name[:60]!r}{did_you_mean(normal(name), known)}; there are {ids}")
    return _load(path)


def targets() -> list[Target]:
    """Every target, by id."""
    return [_load(path) for path in _files()]


@lru_cache(maxsize=1)
def frames() -> dict[str, Frame]:
    """The launchers that start programs on many devices, by name."""
    document = read_entry(builtin(FOLDER) / f"{FRAMES}.yaml")
    return {name: check(type(document)(item, document.file, {(): document.line((name,)) or 1}), Frame)
            for name, item in document.data.items()}  # fmt: skip


def _files() -> list[Path]:
    return [path for path in entry_files(builtin(FOLDER)) if path.stem != FRAMES]


@lru_cache(maxsize=64)
def _aliases(path: Path) -> tuple[str, ...]:
    data: Any = read_entry(path).data
    return tuple(normal(str(alias)) for alias in data.get("aliases", ()))


@lru_cache(maxsize=64)
def _load(path: Path) -> Target:
    document = read_entry(path)
    found = replace(check(document, Target), id=path.stem)
    words = {setting.word for setting in found.settings} | found.implied.keys() | {*found.elsewhere}
    wrong = [word for word in words if word not in VOCABULARY and word not in DERIVED]
    wrong += [name for name in found.relations if name not in RELATIONS]
    if wrong:
        raise InputError([Fault(f"{word!r} is no word of a plan", str(path)) for word in wrong])
    return found
