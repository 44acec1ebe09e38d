"""For maintainers, from a checkout.

python -m llmplan.calibration kernels [gemm|moe|attention|collectives]
                                               curves of devices from measured kernels, and the catalogue's errors
python -m llmplan.calibration fit                all stacks, their bands, and predictions of publications left out
python -m llmplan.calibration fit STACK ...      these stacks alone, drawn to the mean as it stands; bands stay
python -m llmplan.calibration accuracy           publications left out of the entries as they stand, and the pages
python -m llmplan.calibration bands              the bands from the predictions that are stored
python -m llmplan.calibration pages              the pages from what is stored, and the published layouts
python -m llmplan.calibration devices            what continuous work leaves of devices' rates, beside all stacks
python -m llmplan.calibration silence            what options cost that a run does not give
python -m llmplan.calibration few                what three rows of a publication are worth to the rest of it
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from llmplan.errors import InputError

if TYPE_CHECKING:
    from llmplan.calibration.runs import Dropped
    from llmplan.calibration.study import Study

_SHOWN = 8  # ids of dropped rows on one line


def main(arguments: Sequence[str]) -> int:
    """Runs one calibration; returns the exit code."""
    what, names = (arguments[0] if arguments else ""), arguments[1:]
    begin = time.perf_counter()
    if what == "kernels":
        from llmplan.calibration import kernels

        return kernels.main(list(names))
    if what == "fit" and names:
        _fit_some(names)
    elif what in ("fit", "accuracy"):
        _fit_all(refit=what == "fit")
    elif what == "bands":
        _make_bands()
    elif what == "pages":
        _write_pages()
    elif what == "devices":
        _tell_sustained()
    elif what == "silence":
        _tell_silence()
    elif what == "few":
        _tell_few()
    else:
        print(__doc__, file=sys.stderr)
        return 2
    print(f"{time.perf_counter() - begin:.0f} s")
    return 0


def _fit_all(*, refit: bool) -> None:
    from llmplan.calibration.study import study, write_entries, write_left_out
    from llmplan.catalog.catalog import open_catalog

    catalog = open_catalog()
    found = study(catalog, refit=refit)
    tell_dropped(found.dropped)
    if refit:
        write_entries(found, catalog)
    for path in write_left_out(found, catalog):
        print(f"wrote {path}")
    _tell_bands(found)
    if not refit:
        _write_pages()


def _make_bands() -> None:
    from llmplan.calibration.study import from_stored, write_entries, write_left_out
    from llmplan.catalog.catalog import open_catalog

    catalog = open_catalog()
    found = from_stored(catalog)
    write_entries(found, catalog)
    for path in write_left_out(found, catalog):
        print(f"wrote {path}")
    _tell_bands(found)


def _write_pages() -> None:
    from llmplan.calibration.accuracy import write_pages

    for path in write_pages():
        print(f"wrote {path}")


def _tell_few() -> None:
    from llmplan.calibration.few import few, tell
    from llmplan.catalog.catalog import open_catalog

    for line in tell(few(open_catalog())):
        print(line)


def _fit_some(names: Sequence[str]) -> None:
    from llmplan.calibration.entries import rewrite
    from llmplan.calibration.study import fit_stack
    from llmplan.catalog.catalog import open_catalog

    catalog = open_catalog()
    for name in names:
        made, runs, dropped = fit_stack(name, catalog)
        tell_dropped(dropped)
        rewrite(catalog.find("stacks", name), made)
        print(f"{name}: fitted on {len(runs)} rows; bands as they were")


def _tell_sustained() -> None:
    from llmplan.calibration.sustained import PICOJOULE, sustained
    from llmplan.catalog.catalog import open_catalog

    for one in sustained(open_catalog()):
        before, after = one.before / PICOJOULE, one.after / PICOJOULE
        print(f"{one.device}: product_energy {before:.2f} -> {after:.3f} pJ, {one.votes:.1f} votes")


def _tell_silence() -> None:
    from llmplan.calibration.silence import silences
    from llmplan.catalog.catalog import open_catalog

    print(f"{'word':<20}{'groups':>8}{'time':>8}{'memory':>8}")
    for one in silences(open_catalog()):
        print(f"{one.word:<20}{one.groups:>8}{one.training:>8.3f}{one.memory:>8.3f}")


def _tell_bands(found: Study) -> None:
    from llmplan.calibration.bands import coverage

    for band, width in found.bands.widths.items():
        some = [one for one in found.errors if one.band == band]
        print(f"{band}: {len(some)} left-out rows, half width {width:.0%}, {coverage(found.bands, some):.0%} inside")
    for (family, name), factor in sorted(found.bands.distances.items()):
        print(f"{family}, {name}: bands {factor:.2f} times as wide")


def tell_dropped(dropped: Iterable[Dropped]) -> None:
    """Prints which rows are not fitted on, and why."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for one in dropped:
        reasons[one.why].append(one.row.id)
    for why, rows in reasons.items():
        more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
        print(f"dropped {', '.join(rows[:_SHOWN])}{more}: {why}")


if __name__ == "__main__":
    try:
        raise SystemExit(main(sys.argv[1:]))
    except InputError as error:
        raise SystemExit("\n".join(f"error: {fault}" for fault in error.faults)) from None
