"""The benchmarks run, check what they measure, and report in the shape that others read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import report, samples

KEYS = ["name", "unit", "p50", "p99", "p999", "max", "peer", "peer_p50", "ratio"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    assert report.main(["--quick", "--results", str(folder)]) == 0
    return folder


@pytest.mark.parametrize("name", report.BENCHMARKS)
def test_every_benchmark_writes_its_comparisons(results: Path, name: str) -> None:
    records = json.loads((results / f"{name}.json").read_text())
    assert records
    for record in records:
        assert list(record) == KEYS
        assert record["unit"] == "ns"
        assert 0 < record["p50"] <= record["p99"] <= record["p999"] <= record["max"]
        assert record["ratio"] == pytest.approx(record["p50"] / record["peer_p50"], rel=1e-3)


def test_the_machine_is_described(results: Path) -> None:
    described = json.loads((results / "machine.json").read_text())
    assert described["cpu"]
    assert described["openssl"].startswith("OpenSSL")


def test_an_unknown_name_is_an_error_that_lists_the_known(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        report.main(["tick_to_trade"])
    assert error.value.code == 2
    assert "tick_to_trade_tls" in capsys.readouterr().err


def test_percentiles_are_nearest_rank() -> None:
    ordered = [float(value) for value in range(1, 1001)]
    assert [samples.percentile(ordered, share) for share in (0.5, 0.99, 0.999, 1.0)] == [500, 990, 999, 1000]
    assert samples.percentile([7.0], 0.999) == 7
