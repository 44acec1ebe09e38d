"""What nobody should write and somebody does: values, trees of values and bytes of files that are wrong on purpose."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from random import Random
from typing import Any

import yaml

VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2, 3, 7, 2**31, 2**53 + 1, 2**63, -(2**63), 10**30, 10**400, -0.0, 0.5, 1e-300, 5e-324,
    1e18, 1e300, -1e300, float("nan"), float("inf"), "", " ", "0", "-1", "nan", "-inf", "1e309", "0x10", "010", "1:30",
    "1_000", "٣", "½", "\x00", "a\x00b", "\ud800", "😀", "\u202eevil", "\x1b[31mred", "\r\n", "../../etc/passwd",
    "/dev/zero", "/dev/stdin", "-", "--", "--help", "~", "..", "a" * 300, "A" * 5000, "{}", "[]", "${HOME}", "%s%n",
    "null", "1..8", "8..1", "1..1e12", "1,2,3", ",", "8.5", [], {}, [1], {"a": 1}, [[[]]], {"": {}}, ["x"] * 50,
    {"k" * 200: 1}, "1e300 GiB", "-80 GiB", "80GB", "0 B", "3.35 TB/s", "2026-11-31", "!!python/object:os.system", "8k",
    "owner/name", "x.gguf", "Q4_K_M", "1280x0", "0x720", "5 ms", "1e400 h",
]  # fmt: skip
INSERTS = [b"{", b"}", b"[", b"]", b":", b"- ", b"? ", b"| ", b"&a ", b"*a ", b"!!x ", b"#", b"'", b'"', b"<<: ", b"\t",
           b"\x00", b"\xff", b"%YAML 9.9\n", b"\r", b"--", b"=", "\u2028".encode(), "\ufeff".encode()]  # fmt: skip
BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (98 + step, 98 + step, b",".join([b"*%c" % (97 + step)] * 9)) for step in range(8)
)
DEEPEST = (3, 30, 70, 200)


def wrong(random: Random) -> Any:
    """One of the values, of its own: what is put into a tree may be changed there."""
    return copy.deepcopy(random.choice(VALUES))


def value(random: Random, old: Any) -> Any:
    """Another value in the place of one: near it, or of another kind."""
    if old is None or random.random() < 0.35:
        return wrong(random)
    if isinstance(old, bool):
        return random.choice([not old, "true", 1, "yes", None])
    if isinstance(old, (int, float)):
        old = old if abs(old) < 1e200 else 1
        near = [0, -old, old + 1, old - 1, old * 7, old * 1000, old / 3, str(old), float(old), [old], old * 10**18]
        return random.choice(near)
    if isinstance(old, str):
        place = random.randrange(len(old) + 1)
        cut = [
            old[:place],
            old.upper(),
            old * 50,
            old[:place] + random.choice("\x00 \n:,{}[]é0-.eE'\"\\") + old[place:],
        ]
        return random.choice(cut)
    if isinstance(old, list):
        return random.choice([[], old[:1], old * 100, [*old, wrong(random)], dict(enumerate(old)), None])
    return random.choice([{}, list(old), None, "x", dict(list(old.items())[: len(old) // 2])])


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every path of a tree, but the root's."""
    items = data.items() if isinstance(data, dict) else enumerate(data[:20]) if isinstance(data, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def at(data: Any, path: tuple[Any, ...]) -> Any:
    """What stands at a path."""
    for step in path:
        data = data[step]
    return data


def tree(random: Random, data: Any, times: int) -> Any:
    """A tree with some values changed, taken away, added, put elsewhere, or nested deep."""
    data = copy.deepcopy(data)
    for _ in range(times):
        if not (paths := list(places(data))):
            return data
        path, what = random.choice(paths), random.random()
        parent, key = at(data, path[:-1]), path[-1]
        if what < 0.62:
            parent[key] = value(random, parent[key])
        elif what < 0.82:
            del parent[key]
        elif what < 0.9 and isinstance(parent, dict):
            parent[random.choice([f"{key}x", "", "__class__", "id", "name", "like", "aliases"])] = wrong(random)
        elif what < 0.95:
            parent[key] = copy.deepcopy(at(data, random.choice(paths)))
        else:
            for _ in range(random.choice(DEEPEST)):
                parent[key] = {"a": parent[key]} if random.random() < 0.5 else [parent[key]]
    return data


def written(random: Random, data: Any) -> str:
    """The text of a tree as YAML or JSON."""
    try:
        if random.random() < 0.5:
            return yaml.safe_dump(data, sort_keys=False, default_flow_style=random.random() < 0.1)
        return json.dumps(data, indent=random.choice([None, 2]), ensure_ascii=random.random() < 0.5)
    except (yaml.YAMLError, ValueError, RecursionError, TypeError):
        return repr(data)


def encoded(text: str) -> bytes:
    """A text as a file holds it, halves of surrogate pairs too."""
    return text.encode("utf-8", "surrogatepass")


def mangled(random: Random, text: str) -> bytes:
    """A text as broken as files are: cut, of another encoding, with what does not belong there, a bomb before it."""
    raw = encoded(text)
    for _ in range(random.choice([1, 1, 2, 4])):
        place = random.randrange(len(raw) + 1)
        other = random.choice(["utf-16", "utf-32", "latin-1"])
        raw = random.choice([
            lambda raw=raw: b"\xef\xbb\xbf" + raw, lambda raw=raw: raw.replace(b"\n", b"\r\n"),
            lambda raw=raw: raw.replace(b"\n", b"\r"), lambda raw=raw, at=place: raw[:at],
            lambda raw=raw, to=other: raw.decode("utf-8", "replace").encode(to, "replace"),
            lambda raw=raw, at=place: raw[:at] + random.choice(INSERTS) + raw[at:],
            lambda raw=raw, at=place: raw[:at] + random.choice(INSERTS) + raw[at + 1 :],
            lambda raw=raw, at=place: raw + b"\n" + raw[:at], lambda raw=raw: raw + b"\n---\n" + raw,
            lambda raw=raw: BOMB + raw, lambda raw=raw: b"[" * random.choice([50, 1000, 100_000]) + raw,
            lambda raw=raw: b"x: &x\n  y: *x\n" + raw, lambda raw=raw: b"\n".join(sorted(raw.split(b"\n"))),
        ])()  # fmt: skip
    return raw
