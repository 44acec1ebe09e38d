"""`llmplan catalog import-prices`: SkyPilot's CSV as a price list that every command reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from llmplan.catalog.catalog import open_catalog
from llmplan.catalog.check import check_catalog
from llmplan.cli.main import main
from llmplan.formatting import days, money

HEAD = "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,Region,Price,SpotPrice,AvailabilityZone\n"
ROWS = (
    "p4de.24xlarge,A100-80GB,8.0,96,us-east-1,27.44705,8.1,use1-az1\n"
    "p4de.24xlarge,A100-80GB,8.0,96,us-east-1,27.44705,7.9,use1-az2\n"
    "c7i.large,,,2,us-east-1,0.0893,,\n"
    "g5g.xlarge,T4g,1.0,4,us-east-1,0.42,,\n"
    "g6f.large,L4,0.125,2,us-east-1,0.2,,\n"
    "Standard_NC24ads_A100_v4,A100-80GB,1.0,24,eastus,3.673,,\n"
)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(words)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def imported(capsys: pytest.CaptureFixture[str], tmp_path: Path, provider: str) -> tuple[list[dict[str, object]], str]:
    (tmp_path / "vms.csv").write_text(HEAD + ROWS, encoding="utf-8")
    words = ["--provider", provider, "--date", "2026-11-27", "--catalog", str(tmp_path / "own")]
    code, _, err = run(capsys, "catalog", "import-prices", str(tmp_path / "vms.csv"), *words)
    assert code == 0
    entry = yaml.safe_load((tmp_path / "own" / "prices" / f"{provider}.yaml").read_text("utf-8"))
    assert check_catalog(open_catalog([tmp_path / "own"])).faults == []
    return entry["prices"], err


def test_rows_become_prices(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    prices, err = imported(capsys, tmp_path, "aws")
    found = {(one["instance"], one["kind"]): (one["device"], one["devices"], one["price"]) for one in prices}
    assert found == {
        ("p4de.24xlarge", "on-demand"): ("a100-sxm-80gb", 8, "27.4471 USD/h"),
        ("p4de.24xlarge", "spot"): ("a100-sxm-80gb", 8, "7.9 USD/h"),
        ("Standard_NC24ads_A100_v4", "on-demand"): ("a100-sxm-80gb", 1, "3.673 USD/h"),
    }
    assert err == "warning: accelerators that the catalogue does not know: T4g (1 rows)\n"


def test_an_instance_may_have_another_card_than_its_name_says(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    prices, _ = imported(capsys, tmp_path, "azure")
    assert {one["instance"]: one["device"] for one in prices}["Standard_NC24ads_A100_v4"] == "a100-pcie-80gb"


def test_the_list_stands_in_for_the_built_in_one(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    imported(capsys, tmp_path, "aws")
    words = ["--model", "llama-3.1-8b", "--hardware", "a100", "--devices", "8", "--steps", "100", "--json"]
    code, out, _ = run(capsys, "estimate", *words, "--catalog", str(tmp_path / "own"))
    offers = [one for one in json.loads(out)["result"]["cost"]["offers"] if one["provider"] == "AWS"]
    assert code == 0
    assert {(one["kind"], one["instance_usd_per_hour"]) for one in offers} == {("on-demand", 27.4471), ("spot", 7.9)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", ":1: has no column InstanceType, AcceleratorName, AcceleratorCount, Region, Price"),
        (HEAD + "x,A100-80GB,many,1,r,1,,\n", ":2: expected a number, got 'many'"),
        (HEAD + "x,A100-80GB,nan,1,r,1,,\n", ":2: expected a number, got 'nan'"),
        (HEAD + "x" * 200_000 + "\n", ":1: is not a valid CSV: field larger than field limit"),
        (HEAD + "x,Abacus,1,1,r,1,,\n", ": no row has a price of an accelerator that is known"),
    ],
)
def test_faults_name_the_line(capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "vms.csv").write_text(text, encoding="utf-8")
    words = ["--provider", "aws", "--catalog", str(tmp_path / "own")]
    code, out, err = run(capsys, "catalog", "import-prices", str(tmp_path / "vms.csv"), *words)
    assert (code, out) == (2, "")
    assert f"vms.csv{said}" in err
    assert not (tmp_path / "own").exists()


def test_the_built_in_list_of_verda_is_what_the_importer_reads(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = Path(__file__).parents[2] / "docs" / "examples" / "vms.csv"
    words = ["--provider", "verda", "--date", "2026-11-27", "--catalog", str(tmp_path)]
    assert run(capsys, "catalog", "import-prices", str(file), *words)[0] == 0
    mine, built = (
        next(one for one in open_catalog(folders).prices() if one.id == "verda") for folders in ([tmp_path], [])
    )
    assert {(one.instance, one.device, one.devices, one.kind, one.price) for one in mine.prices} == {
        (one.instance, one.device, one.devices, one.kind, one.price) for one in built.prices
    }


def test_one_device_is_not_billed_as_eight(capsys: pytest.CaptureFixture[str]) -> None:
    """A single A100 at what a renter of single ones asks, 1.16 USD/h, not at that of an instance of eight."""
    words = ["--model", "llama-3.1-8b", "--hardware", "a100", "--devices", "1", "--workload", "lora", "--steps", "100"]
    code, out, _ = run(capsys, "estimate", *words, "--json")
    offer = json.loads(out)["result"]["cost"]["offer"]
    assert (code, offer["devices_billed"], offer["usd_per_hour"]) == (0, 1, 1.16)


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0123, "0.0123"), (13.456, "13.46"), (99.994, "99.99"), (100, "100"), (2e6, "2M")],
)
def test_money_to_the_cent_where_it_is_small(value: float, said: str) -> None:
    assert money(value) == said


@pytest.mark.parametrize(("value", "said"), [(0.0816, "1.96 h"), (0.999, "24 h"), (1.5, "1.5"), (464.2, "464")])
def test_hours_where_there_are_few_days(value: float, said: str) -> None:
    assert days(value) == said


MIXED = HEAD + (
    "eight,H100,8.0,96,here,80.0,,\nfour,H100,4.0,48,here,44.0,,\none,H100,1.0,12,here,12.0,,\n"
    "elsewhere,H100,2.0,24,there,1.0,,\n"
)


@pytest.mark.parametrize(
    ("devices", "usd", "mix"),
    [
        (8, 80.0, None),
        (12, 124.0, {"eight": 1, "four": 1}),  # not two of eight, 160
        (11, 124.0, {"eight": 1, "four": 1}),  # not three of one, which is no place for three
        (17, 172.0, {"eight": 2, "one": 1}),
        (3, 44.0, None),
    ],
)
def test_the_best_mix_of_instances_for_a_count(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, devices: int, usd: float, mix: dict[str, int] | None
) -> None:
    """Whole nodes on the cheapest instances of them, the rest on the cheapest that holds it, in one region."""
    (tmp_path / "vms.csv").write_text(MIXED, encoding="utf-8")
    own = str(tmp_path / "own")
    for provider in ("aws", "azure", "gcp", "lambda", "nebius", "verda"):  # in the place of all that are built in
        words = ["--provider", provider, "--date", "2026-11-27", "--catalog", own]
        assert run(capsys, "catalog", "import-prices", str(tmp_path / "vms.csv"), *words)[0] == 0
    words = ["--model", "llama-3.1-8b", "--hardware", "h100", "--devices", str(devices), "--tp", "1", "--pp", "1"]
    more = ["--workload", "pretrain", "--zero", "3", "--global-batch", str(devices), "--tokens", "1e8", "--json"]
    code, out, _ = run(capsys, "estimate", *words, *more, "--catalog", own)
    assert code == 0
    offer = json.loads(out)["result"]["cost"]["offer"]
    assert (offer["usd_per_hour"], offer.get("mix"), offer["devices_used"]) == (usd, mix, devices)
    assert offer["devices_billed"] >= devices
    assert offer["region"] == "here"


def test_another_currency(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "vms.csv").write_text(MIXED, encoding="utf-8")
    words = [
        "catalog",
        "import-prices",
        str(tmp_path / "vms.csv"),
        "--provider",
        "own",
        "--catalog",
        str(tmp_path / "own"),
    ]
    assert run(capsys, *words, "--currency", "eur=1.25")[0] == 0
    entry = yaml.safe_load((tmp_path / "own" / "prices" / "own.yaml").read_text("utf-8"))
    (price,) = [one for one in entry["prices"] if one["instance"] == "eight"]
    assert price["price"] == "100 USD/h"
    assert "1 EUR = 1.25 USD" in price["source"]
    code, _, err = run(capsys, *words, "--currency", "1.25")
    assert (code, err) == (2, "error: --currency: '1.25' is not a currency and its price in USD, such as EUR=1.16\n")


def test_an_old_price_is_told_by_the_newest_of_the_device(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = [
        "estimate",
        "--model",
        "llama-3.1-8b",
        "--hardware",
        "h100",
        "--devices",
        "8",
        "--workload",
        "serve",
        "--json",
    ]
    for date, warned in (("2019-05-01", True), ("2099-01-01", False)):
        (tmp_path / "vms.csv").write_text(HEAD + "cheap,H100,8.0,96,here,0.5,,\n", encoding="utf-8")
        own = ["--provider", "own", "--catalog", str(tmp_path / "own"), "--date", date]
        assert run(capsys, "catalog", "import-prices", str(tmp_path / "vms.csv"), *own)[0] == 0
        answer = json.loads(run(capsys, *words, "--catalog", str(tmp_path / "own"))[1])
        assert answer["result"]["cost"]["offer"]["instance"] == "cheap"
        assert any(one["code"] == "LP044" for one in answer["warnings"]) == warned


def test_one_device_is_not_billed_as_eight_where_one_is_sold(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--model", "llama-3.1-8b", "--workload", "lora", "--seq-len", "2048", "--tokens", "1e8", "--json"]
    for hardware in ("a100", "h100"):
        _, out, _ = run(capsys, "estimate", *words, "--hardware", hardware, "--devices", "1")
        offer = json.loads(out)["result"]["cost"]["offer"]
        assert (offer["devices_billed"], offer["devices_used"]) == (1, 1)
    _, text, _ = run(capsys, "estimate", *words[:-1], "--hardware", "mi300x", "--devices", "1")
    assert "8 devices of which 1 is used" in " ".join(text.split())  # nobody is known to sell one
