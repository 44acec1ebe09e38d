"""Measured runs beside predictions: the CSV and its faults, rows that are skipped, scores, JSON, the command."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmplan.answer.data import to_data
from llmplan.answer.rows import Row, read_rows, row_options, row_request, unread_columns
from llmplan.answer.scores import Result, score, weighted_quantile
from llmplan.answer.validate import validate, validation
from llmplan.catalog.catalog import Catalog, open_catalog
from llmplan.errors import InputError
from llmplan.files import builtin
from llmplan.report.validation import verdicts
from llmplan.setup.request import request
from llmplan.software.band import Interval
from tests.cli.answers import holds

HEADER = "id,source,workload,stack,model,hardware,devices,seq_len,global_batch,measured_tokens_per_second_per_device"
ROW = "a,paper,pretrain,nemo,llama-3.1-8b,h100,8,4096,64,11000"


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return open_catalog()


def written(folder: Path, *lines: str) -> Path:
    path = folder / "runs.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def faults(path: Path) -> list[str]:
    with pytest.raises(InputError) as caught:
        read_rows(path)
    return [str(fault).removeprefix(f"{path}:") for fault in caught.value.faults]


def test_cells_that_are_read_once_make_the_request_of_the_whole_row(catalog: Catalog) -> None:
    for file in ("training.csv", "serving.csv", "serving_split.csv"):
        for row in read_rows(builtin("measurements") / file)[::7]:
            found, whole = row_request(row, "generic", catalog), request(row_options(row, "generic", catalog))
            assert found == replace(whole, ran=True)


@pytest.mark.parametrize(
    ("devices", "degree", "tp", "ep"),
    # GB200 has nodes of four: inside one a tensor-parallel group, across them replicas that share their experts
    [("4", "1", 4, 1), ("8", "1", 1, 8), ("4", "4", 1, 4)],
)
def test_a_worker_that_says_no_degrees(catalog: Catalog, devices: str, degree: str, tp: int, ep: int) -> None:
    cells = {
        "id": "a", "model": "deepseek-r1", "hardware": "gb200", "workload": "serve", "disaggregated": "true",
        "devices": "12", "prefill_devices": "4", "prefill_workers": "1", "prefill_tp": "4", "prefill_ep": "1",
        "prefill_dp_attention": "false", "decode_devices": devices, "decode_workers": "1", "decode_tp": degree,
        "decode_ep": degree, "decode_dp_attention": "true",
    }  # fmt: skip
    found = row_options(Row(cells, 2), "sglang", catalog)
    assert (found["tp"], found["ep"], found["prefill_tp"]) == (tp, ep, 4)


class TestFile:
    def test_rows_with_their_lines(self, tmp_path: Path) -> None:
        rows = read_rows(written(tmp_path, HEADER, ROW, ROW.replace("a,", "b,", 1)))
        assert [(row.id, row.line) for row in rows] == [("a", 2), ("b", 3)]
        assert rows[0].group == ("paper", "nemo", "llama-3.1-8b", "h100")
        assert rows[0].measured == {"tokens_per_second_per_device": 11000.0}

    def test_a_column_that_nothing_reads_is_kept_and_named(self, tmp_path: Path) -> None:
        rows = read_rows(written(tmp_path, HEADER.replace("seq_len", "seqlen") + ",cluster_owner", ROW + ",us"))
        assert unread_columns(rows) == ["'seqlen'; did you mean seq_len?", "'cluster_owner'"]
        assert rows[0].cells["cluster_owner"] == "us"

    def test_columns_beside_the_plan_are_known(self, tmp_path: Path) -> None:
        words = ("publication", "length_spread", "speculation", "disaggregated", "memory_kind", "notes")
        assert unread_columns(read_rows(written(tmp_path, ",".join((HEADER, *words)), ROW + 6 * ","))) == []

    def test_missing_columns_are_all_named(self, tmp_path: Path) -> None:
        found = faults(written(tmp_path, "source,workload", "paper,pretrain"))
        assert found == [f"1: column {name!r} is missing" for name in ("id", "model", "hardware")]

    def test_column_that_stands_twice(self, tmp_path: Path) -> None:
        assert read_rows(written(tmp_path, HEADER + ",devices", ROW + ",8"))[0].cells["devices"] == "8"
        found = faults(written(tmp_path, HEADER + ",devices", ROW + ",16"))
        assert found == ["2: column 'devices' stands twice, with different cells"]

    @pytest.mark.parametrize(("cells", "word"), [(ROW + ",1", "more"), (ROW.rpartition(",")[0], "fewer")])
    def test_torn_row(self, tmp_path: Path, cells: str, word: str) -> None:
        assert faults(written(tmp_path, HEADER, ROW, cells)) == [f"3: row has {word} cells than the header"]

    def test_id_twice_and_empty(self, tmp_path: Path) -> None:
        found = faults(written(tmp_path, HEADER, ROW, ROW, ROW[1:]))
        assert found == ["3: id 'a' stands twice", "4: id '' is empty"]

    @pytest.mark.parametrize("cell", ["fast", "nan", "inf", "1e999", "-5", "5e-324"])
    def test_measured_cell_that_is_no_number(self, tmp_path: Path, cell: str) -> None:
        found = faults(written(tmp_path, HEADER, ROW, ROW.replace("a,", "b,", 1).replace("11000", cell)))
        expected = "measured_tokens_per_second_per_device: expected 0, or a number between 1e-30 and 1e+30"
        assert found == [f"3: {expected}, got {cell!r}"]

    def test_measured_fits_is_true_or_false(self, tmp_path: Path) -> None:
        found = faults(written(tmp_path, HEADER + ",measured_fits", ROW + ",maybe"))
        assert found == ["2: measured_fits: expected true or false, got 'maybe'"]

    def test_empty_file(self, tmp_path: Path) -> None:
        assert faults(written(tmp_path, "")) == [
            f"1: column {name!r} is missing" for name in ("id", "model", "hardware", "workload")
        ]

    def test_header_alone_says_so(self, tmp_path: Path) -> None:
        assert faults(written(tmp_path, HEADER)) == [" has no rows"]

    def test_unclosed_quote(self, tmp_path: Path) -> None:
        assert "is not a valid CSV" in faults(written(tmp_path, HEADER, '"' + ROW))[0]


def row(**cells: str) -> Row:
    return Row(dict(zip(HEADER.split(","), ROW.split(","), strict=True)) | cells, 2)


def predict_row(one: Row, catalog: Catalog) -> Result:
    return validate([one], catalog)[0]


class TestGroup:
    """Rows that share a vote: of one publication, stack, model and device."""

    def test_the_publication_wins_over_the_source(self) -> None:
        said = row(publication="owner/repository", source="owner/repository logs/a.txt line 7")
        assert said.group == ("owner/repository", "nemo", "llama-3.1-8b", "h100")

    @pytest.mark.parametrize(
        "place", ["", " line 12", " lines 12-14", " id=20250114_llama", "#L12", "#L12-L14"]
    )  # fmt: skip
    def test_places_within_a_document_are_no_publications(self, place: str) -> None:
        assert row(source=f"owner/repository README.md @0123abc{place}").publication == (
            "owner/repository README.md @0123abc"
        )

    def test_a_source_keeps_its_numbers(self) -> None:
        for source in ("arXiv 2205.05198, table 5", "MLPerf v4.1 line-up", "paper (line 3 of table 2)"):
            assert row(source=source).publication == source


class TestRow:
    def test_prediction(self, catalog: Catalog) -> None:
        found = predict_row(row(), catalog)
        assert found.skipped is None
        assert found.remarks == ()
        assert set(found.predicted) == {"step_seconds", "tokens_per_second_per_device", "peak_memory_gib"}
        step, rate = found.predicted["step_seconds"].value, found.predicted["tokens_per_second_per_device"].value
        assert step * rate * 8 == pytest.approx(64 * 4096, rel=1e-12)

    @pytest.mark.parametrize(
        ("cells", "reason"),
        [
            ({"devices": "abc"}, "valid integer"),
            ({"hardware": "h1000"}, "h1000"),
            ({"global_batch": "3", "tp": "1", "pp": "1"}, "global_batch 3"),
            ({"model": "no-such-model"}, "no-such-model"),
            ({"workload": "dream"}, "workload"),
            ({"speculation": "mtp"}, "speculation goes with workload serve"),
            ({"disaggregated": "true"}, "no decode_workers say"),
        ],
    )
    def test_a_row_that_cannot_be_planned_says_why(self, catalog: Catalog, cells: dict[str, str], reason: str) -> None:
        found = predict_row(row(**cells), catalog)
        assert found.predicted == {}
        assert found.fits is None
        assert reason in (found.skipped or "")

    def test_an_unknown_stack_is_planned_as_generic_and_says_so(self, catalog: Catalog) -> None:
        unknown, generic = (predict_row(row(stack=stack), catalog) for stack in ("homebrew", "generic"))
        assert unknown.predicted == generic.predicted
        assert unknown.remarks == ("stack 'homebrew' is not in the catalogue: planned as generic",)
        assert predict_row(row(stack=""), catalog).remarks == ("no stack is named: planned as generic",)

    def test_shape_columns_win_over_the_model(self, catalog: Catalog) -> None:
        whole, half = (predict_row(row(layers=layers), catalog) for layers in ("", "16"))
        ratio = half.predicted["step_seconds"].value / whole.predicted["step_seconds"].value
        assert 0.4 < ratio < 0.65  # half the layers; embedding and head stay

    def test_a_row_of_too_many_layers_is_refused_before_they_are_made(self, catalog: Catalog) -> None:
        found = predict_row(row(layers="1000000000"), catalog)
        assert "layers: input should be less than or equal to" in (found.skipped or "")

    def test_an_empty_cell_is_the_stacks_default(self, catalog: Catalog) -> None:
        said, unstated = (predict_row(row(zero=zero), catalog) for zero in ("1", ""))
        assert catalog.stack("nemo").training.zero == 1  # type: ignore[union-attr]
        assert said.predicted == unstated.predicted

    def test_memory_is_compared_as_it_was_measured(self, catalog: Catalog) -> None:
        kinds = ("allocated", "reserved", "", "nvidia-smi")
        found = [predict_row(row(memory_kind=kind), catalog).predicted["peak_memory_gib"] for kind in kinds]
        allocated, reserved, unknown, whole = (interval.value for interval in found)
        memory = catalog.stack("nemo").memory
        assert reserved == unknown == pytest.approx(allocated * (1 + memory.fragmentation), rel=1e-12)
        assert whole == pytest.approx(reserved + memory.context / 2**30, rel=1e-12)
        # A band of each kind of its own, and none where nothing was said: the allocator's reserve is what is meant.
        bands = catalog.stack("nemo").bands
        assert {"allocated_bytes", "reserved_bytes", "peak_bytes"} <= set(bands)
        ratios = [(interval.low / interval.value, interval.high / interval.value) for interval in found]
        assert ratios[1] == ratios[2]


def result(name: str, source: str, measured: float, predicted: float, band: float = 0.1) -> Result:
    cells = {"id": name, "source": source, "model": "m", "hardware": "h", "measured_step_seconds": str(measured)}
    return Result(Row(cells, 2), {"step_seconds": Interval(predicted, predicted * (1 - band), predicted * (1 + band))})


class TestScore:
    def test_groups_weigh_equally(self) -> None:
        # paper x: one row, 30 % off; paper y: three rows, 1, 2 and 3 % off. Each paper has half of the votes, so
        # half of the weight lies at or below 3 %, and nine tenths at or below 30 %.
        rows = [
            result("1", "x", 1.0, 1.3),
            result("2", "y", 1.0, 1.01),
            result("3", "y", 1.0, 0.98),
            result("4", "y", 1.0, 1.03),
        ]
        found = score(rows, "step_seconds")
        assert found is not None
        assert found.rows == 4
        assert found.median == pytest.approx(0.03)
        assert found.p90 == pytest.approx(0.30)
        assert found.bias == pytest.approx(0.03)  # -0.02, 0.01, 0.03 and 0.30: half of the weight is reached at 0.03
        assert found.inside_band == pytest.approx(0.5)  # 1.0 lies within 10 % of all but the first

    def test_the_published_definition(self) -> None:
        # sorted by value, the first at which the running weight reaches the share of the whole; nothing interpolated
        values, weights = [5.0, 1.0, 3.0, 2.0], [1.0, 2.0, 0.5, 0.5]
        for share, expected in (
            (0.1, 1.0),
            (0.5, 1.0),
            (0.51, 2.0),
            (0.625, 2.0),
            (0.7, 3.0),
            (0.75, 3.0),
            (0.76, 5.0),
            (1.0, 5.0),
        ):
            assert weighted_quantile(values, weights, share) == expected

    def test_errors_are_relative_to_what_was_measured(self) -> None:
        found = score([result("1", "x", 2.0, 1.0)], "step_seconds")
        assert found is not None
        assert (found.median, found.bias) == (0.5, -0.5)

    def test_what_was_not_measured_or_not_predicted_does_not_count(self) -> None:
        skipped = Result(result("2", "x", 1.0, 1.0).row, skipped="why")
        unmeasured = Result(
            Row({"id": "3", "model": "m", "hardware": "h"}, 3), {"step_seconds": Interval(1.0, 1.0, 1.0)}
        )
        found = score([result("1", "x", 1.0, 1.5), skipped, unmeasured], "step_seconds")
        assert found is not None
        assert found.rows == 1
        assert score([skipped, unmeasured], "step_seconds") is None
        assert score([result("1", "x", 1.0, 1.0)], "peak_memory_gib") is None


class TestJson:
    def test_keys_are_those_that_scripts_read(self, catalog: Catalog) -> None:
        rows = [row(), row(id="b", devices="abc"), row(id="c", stack="homebrew")]
        answer = to_data(validation(validate(rows, catalog)))
        assert answer["schema"] == "llmplan.validation/2"
        assert {"schema", "llmplan_version", "rows", "summary"} == set(answer)
        good, bad, generic = answer["rows"]
        assert set(good) == {"id", "line", "predicted", "measured", "verdict"}
        assert good["verdict"] == "fits"
        quantities = {"step_seconds", "tokens_per_second_per_device", "peak_memory_gib"}
        assert set(good["predicted"]) == quantities | {"fits"}
        for name in quantities:
            assert good["predicted"][name]["low"] < good["predicted"][name]["value"] < good["predicted"][name]["high"]
        assert good["measured"] == {"tokens_per_second_per_device": 11000.0}
        assert bad["predicted"] == {}
        assert "devices" in bad["skipped"]
        assert generic["remarks"] == ["stack 'homebrew' is not in the catalogue: planned as generic"]
        assert (answer["summary"]["rows"], answer["summary"]["skipped"]) == (3, 1)
        assert set(answer["summary"]["by_stack"]) == {"nemo", "homebrew"}
        json.dumps(answer, allow_nan=False)

    def test_summary_is_the_score(self, catalog: Catalog) -> None:
        results = validate([row(), row(id="b", source="other", measured_tokens_per_second_per_device="9000")], catalog)
        errors = sorted(
            abs(r.predicted["tokens_per_second_per_device"].value / m - 1)
            for r, m in zip(results, (11000, 9000), strict=True)
        )
        summary = validation(results).summary.all["tokens_per_second_per_device"]
        assert (summary.median, summary.p90) == (pytest.approx(errors[0]), pytest.approx(errors[1]))


class TestCommand:
    def test_columns_that_nothing_reads_are_one_warning(self, llmplan: Callable[..., Any], here: Path) -> None:
        path = written(here, HEADER + ",rack,seqlen", ROW + ",7,")
        run = llmplan("validate", str(path), "--json")
        assert run.code == 0
        assert run.err == f"warning: {path}:1: columns that nothing reads: 'rack', 'seqlen'; did you mean seq_len?\n"
        assert "skipped" not in json.loads(run.out)["rows"][0]

    def test_table(self, llmplan: Callable[..., Any], here: Path) -> None:
        run = llmplan("validate", str(written(here, HEADER, ROW, ROW.replace("a,", "b,", 1).replace(",8,", ",abc,"))))
        assert run.code == 0
        assert "tokens_per_second_per_device: predicted against measured" in run.out
        assert "skipped b (line 3)" in run.out
        assert "2 rows, 1 skipped" in run.out

    def test_a_wrong_verdict_says_whether_it_was_marginal(self, catalog: Catalog) -> None:
        found = validation(validate([row(measured_fits="false")], catalog))
        assert list(verdicts(found)) == ["memory: 1 rows ran out of memory, 0 of them said to not fit; wrong: a"]
        unsure = replace(found, rows=(replace(found.rows[0], verdict="marginal"),))
        assert next(iter(verdicts(unsure))).endswith("; wrong: a (marginal)")

    def test_json(self, llmplan: Callable[..., Any], here: Path) -> None:
        run = llmplan("validate", str(written(here, HEADER, ROW)), "--json")
        assert run.code == 0
        predicted = json.loads(run.out)["rows"][0]["predicted"]
        assert predicted.pop("fits") in (True, False)
        assert all(math.isfinite(end) for value in predicted.values() for end in value.values())

    def test_a_file_of_which_nothing_can_be_planned_is_bad_input(self, llmplan: Callable[..., Any], here: Path) -> None:
        path = written(here, HEADER, ROW.replace(",8,", ",abc,"))
        for words in ((), ("--json",)):
            run = llmplan("validate", str(path), *words)
            assert run.code == 2
            assert "none of its rows can be planned" in run.err
            assert "valid integer" in run.out  # each row is told all the same

    def test_faults_are_told_with_their_lines(self, llmplan: Callable[..., Any], here: Path) -> None:
        path = written(here, HEADER, ROW, ROW)
        run = llmplan("validate", str(path))
        assert (run.code, run.out) == (2, "")
        assert f"{path}:3: id 'a' stands twice" in run.err

    def test_a_file_that_is_not_there(self, llmplan: Callable[..., Any], here: Path) -> None:
        run = llmplan("validate", str(here / "nothing.csv"))
        assert (run.code, run.out) == (2, "")
        assert "nothing.csv" in run.err


def test_json_is_as_its_schema_says(tmp_path: Path) -> None:
    measured = Path(__file__).parents[2] / "hardware_catalog" / "measurements" / "training.csv"
    lines = measured.read_text(encoding="utf-8").splitlines()
    unheard_of = "twin-" + lines[1].replace(",bert-nvidia-pt,", ",unheard-of,")  # planned as generic, with a remark
    few = tmp_path / "few.csv"
    few.write_text("\n".join([*lines[:12], unheard_of]) + "\n", encoding="utf-8")
    answer = to_data(validation(validate(read_rows(few), open_catalog())))
    holds("validation", answer)
    assert len(answer["rows"]) == answer["summary"]["rows"] == 12
    assert answer["rows"][-1]["remarks"]
