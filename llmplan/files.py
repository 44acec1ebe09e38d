"""Reads and writes files of text that may be missing, huge or no text at all; an `InputError` says which."""

from __future__ import annotations

import os
import stat
import tempfile
from codecs import BOM_UTF8
from functools import lru_cache
from pathlib import Path
from typing import IO

from llmplan.documents import Document, parse_documents
from llmplan.errors import Fault, InputError

MAX_BYTES = 16 * 2**20  # the largest file that anybody plans from is a CSV of a few megabytes
PIECE = 2**16  # bytes that are read at a time


def read_text(path: Path | str) -> str:
    """The text of a file; an InputError if it is missing, a folder, unreadable, huge or not UTF-8."""
    with open_bytes(path) as file:
        return decode(read_bytes(file, str(path)), str(path))


def open_bytes(path: Path | str) -> IO[bytes]:
    """A file, or a pipe that somebody writes to, to read from; an InputError where it cannot be."""
    path = Path(path)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise InputError(Fault("is a folder, not a file", str(path)))
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
            raise InputError(Fault("is a device, not a file", str(path)))
        # a pipe (`--plan <(command)`) is a fine source; opened like this, one without a writer ends instead of hanging
        file = open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb")  # noqa: SIM115
        if hasattr(os, "set_blocking"):
            os.set_blocking(file.fileno(), True)
        return file
    except FileNotFoundError:
        raise InputError(Fault("no such file", str(path))) from None
    except (OSError, ValueError) as error:
        raise unreadable(error, path) from None


def unreadable(error: OSError | ValueError, path: Path | str) -> InputError:
    """What the system, or a path that none can be, says of a file or folder."""
    reason = getattr(error, "strerror", None) or str(error)
    return InputError(Fault(f"cannot be read: {reason}", str(path)))


def read_bytes(file: IO[bytes], name: str) -> bytes:
    """What is left of a source, at most one byte more than is allowed."""
    pieces, left = [], MAX_BYTES + 1
    try:
        while left > 0 and (piece := file.read(min(left, PIECE))):  # room is made for all that is asked for
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)
    except OSError as error:
        raise unreadable(error, name) from None


def decode(raw: bytes, name: str) -> str:
    """Bytes as UTF-8 text, or an InputError that names the line of the first bad byte."""
    if len(raw) > MAX_BYTES:
        raise InputError(Fault(f"is larger than {MAX_BYTES // 2**20} MiB, too large for a plan", name))
    try:
        return raw.removeprefix(BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError(Fault("is not UTF-8 text; save it as UTF-8", name, line)) from None


def read_documents(path: Path | str) -> list[Document]:
    """The documents of a YAML or JSON file, or the lines of a JSON-lines file."""
    text = read_text(path)
    return list(parse_documents(text, str(path)))


def write_text(path: Path | str, text: str) -> None:
    """Writes a file whole or not at all: beside it first, then in its place; an InputError where that cannot be."""
    try:
        path = Path(path).resolve()  # what a link points to is written, the link stays
        if path.exists() and not path.is_file():
            raise InputError(Fault("is not a file that could be written", str(path)))
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(Fault(f"cannot be written: {reason}", str(path))) from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(name, _mode(path))  # mkstemp gives the owner alone
        os.replace(name, path)
    except BaseException as error:  # an interrupt too leaves nothing half-written
        os.unlink(name)
        if not isinstance(error, OSError):
            raise
        raise InputError(Fault(f"cannot be written: {error.strerror}", str(path))) from None


def _mode(path: Path) -> int:
    """Who may read and write a file that is written anew: as before, or as any new file."""
    if path.exists():
        return stat.S_IMODE(path.stat().st_mode)
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def builtin(kind: str = "") -> Path:
    """A folder of the built-in catalogue: inside the package when installed, beside it in a checkout."""
    return _catalogue() / kind


@lru_cache(maxsize=1)
def _catalogue() -> Path:
    package = Path(__file__).resolve().parent
    inside = package / "hardware_catalog"
    return inside if inside.is_dir() else package.parent / "hardware_catalog"
