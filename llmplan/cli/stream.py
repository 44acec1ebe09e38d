"""JSON lines in, JSON lines out: read, answered and written batch by batch, in their order.

A line that holds no plan gets a line that says why, and the others are answered. No more than a few batches are held at
a time, however many lines there are.
"""

from __future__ import annotations

import select
import signal
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from llmplan.answer.data import dumps
from llmplan.answer.many import Refusal, answers
from llmplan.catalog.catalog import open_catalog
from llmplan.cli.progress import progress
from llmplan.documents import is_flow_style, parse_json
from llmplan.errors import Fault, InputError
from llmplan.files import MAX_BYTES, decode
from llmplan.records import dataclass
from llmplan.setup.request import RequestReader

if TYPE_CHECKING:
    from concurrent.futures import Future

    from llmplan.setup.request import Request

BATCH_LINES = 4096
NEWLINE = END = b"\n"
PIECE = 2**20  # bytes that are read at a time, where so many are at hand
TOO_LONG = f"is longer than {MAX_BYTES // 2**20} MiB, too long for a plan"


class Line(NamedTuple):
    """One line that is not empty: its number in the file, and its bytes, or why there are none."""

    number: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class StreamAsk:
    """What is asked of every line. file: its name in messages; given: options of the command line, which win."""

    file: str
    given: Mapping[str, Any]
    folders: tuple[Path, ...]
    summary: bool


class Written(NamedTuple):
    """What a batch became: text to write, how many lines were refused, and how many answers are no."""

    text: str
    refused: int
    negative: int


def is_json_lines(head: bytes, file: str) -> bool:
    """Whether a text that begins so holds one plan a line, be the first of them torn; YAML has braces too."""
    first, newline, rest = head.lstrip(b"\xef\xbb\xbf \t\r\n").partition(NEWLINE)
    if not first.startswith(b"{"):
        return False
    if file.endswith((".yaml", ".yml")):
        with suppress(InputError):
            return isinstance(parse_json(decode(first, file), file).data, dict)
        return False
    if rest.lstrip().startswith(b"{"):
        return True
    return (not newline or first.rstrip().endswith(b"}")) and not is_flow_style(first.decode(errors="replace"))


def stream(source: IO[bytes], head: bytes, ask: StreamAsk, workers: int) -> tuple[int, int]:
    """Answers every line on stdout; how many were refused, and how many answers are no. head: what was read before."""
    RequestReader(ask.given)  # faults of the options are reported once, and before anything is answered
    refused = negative = 0
    with progress("plans", streams=True) as shown:
        for written in _written(batches(source, head), ask, workers):
            sys.stdout.write(written.text)
            sys.stdout.flush()
            refused, negative = refused + written.refused, negative + written.negative
            if shown is not None:
                shown.advance(written.text.count("\n"))
    return refused, negative


def _written(lines: Iterable[list[Line]], ask: StreamAsk, workers: int) -> Iterator[Written]:
    """Every batch, answered, in order; with workers, two batches for each are on their way at a time."""
    if workers == 1:
        yield from (answer_batch(batch, ask) for batch in lines)
        return
    from concurrent.futures import ProcessPoolExecutor

    waiting: deque[Future[Written]] = deque()
    pool = ProcessPoolExecutor(workers, initializer=_leave_interrupts)
    try:
        for batch in lines:
            waiting.append(pool.submit(answer_batch, batch, ask))
            if len(waiting) >= 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_interrupts() -> None:
    """An interrupt of the keyboard is for the process that started the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def answer_batch(batch: list[Line], ask: StreamAsk) -> Written:
    """The lines that answer a batch; lines that are the same are answered once."""
    reader, catalog = _reader(tuple(ask.given.items())), open_catalog(ask.folders)
    unlike = list({line.raw: line for line in batch}.values())
    found = answers([_request(line, ask, reader) for line in unlike], catalog, summary=ask.summary)
    texts = {
        line.raw: one if isinstance(one, InputError) else (dumps(one, indent=None), one.is_yes)
        for line, one in zip(unlike, found, strict=True)
    }
    lines, refused, negative = [], 0, 0
    for line in batch:
        answered = texts[line.raw]
        if isinstance(answered, InputError):
            refused += 1
            lines.append(dumps(_refusal(answered, line.number, ask.file), indent=None))
        else:
            text, is_yes = answered
            lines.append(text)
            negative += not is_yes
    return Written("".join(f"{line}\n" for line in lines), refused, negative)


@lru_cache(maxsize=1)
def _reader(given: tuple[tuple[str, Any], ...]) -> RequestReader:
    return RequestReader(dict(given))


def _request(line: Line, ask: StreamAsk, reader: RequestReader) -> Request | InputError:
    try:
        if len(line.raw) > MAX_BYTES:
            return InputError(Fault(TOO_LONG, ask.file, line.number))
        return reader.read(parse_json(decode(line.raw, ask.file), ask.file, line.number))
    except InputError as error:
        return error


def _refusal(error: InputError, number: int, file: str) -> Refusal:
    """Faults without the place that the line's number tells already."""
    return Refusal(
        line=number, errors=tuple(one.message if one.file == file else str(one) for one in error.faults)
    )  # fmt: skip


def batches(source: IO[bytes], head: bytes = b"") -> Iterator[list[Line]]:
    """Lines as they come: what is at hand makes a batch, and no line waits for one that has not been written yet."""
    number, rest = 0, b""
    for piece in chain([head], iter(lambda: at_hand(source), b""), [END]):
        if len(rest) > MAX_BYTES and NEWLINE not in piece:
            continue  # of a line that is too long anyway
        *whole, rest = (rest + piece).split(NEWLINE)
        found = [Line(number + place, raw) for place, raw in enumerate(whole, 1) if raw.strip()]
        number += len(whole)
        for start in range(0, len(found), BATCH_LINES):
            yield found[start : start + BATCH_LINES]


def at_hand(source: IO[bytes]) -> bytes:
    """What there is to read, up to a piece; empty at the end. Waits only while there is nothing at all."""
    pieces = [_read(source)]
    while pieces[-1] and sum(map(len, pieces)) < PIECE and _is_more(source):
        pieces.append(_read(source))
    return b"".join(pieces)


def _read(source: Any) -> bytes:
    found: bytes = source.read1(PIECE)
    return found


def _is_more(source: IO[bytes]) -> bool:
    with suppress(OSError, ValueError):  # what has no descriptor, or no `select` for it
        return bool(select.select([source.fileno()], [], [], 0)[0])
    return False
