"""The benchmarks run, check what they measure, and report in the shape that others read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import samples, targets

pytest.importorskip("msgspec", reason="the benchmarks need the extra: pip install .[bench]")
pytest.importorskip("pytest_benchmark", reason="the benchmarks need the extra: pip install .[bench]")
from benchmarks import report

# One run of them serves all tests here, and on a slow machine takes minutes. They measure: nothing may run beside them.
pytestmark = [pytest.mark.alone, pytest.mark.timeout(600)]
KEYS = ["name", "unit", "p50", "p99", "p999", "max", "peer", "peer_p50", "peer_p999", "ratio"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    assert report.main(["--quick", "--results", str(folder)]) == 0
    return folder


@pytest.mark.parametrize("name", report.BENCHMARKS)
def test_every_benchmark_writes_its_comparisons(results: Path, name: str) -> None:
    records = json.loads((results / f"{name}.json").read_text())
    if name.startswith("aesgcm") and not records:
        pytest.skip("this machine has no AES-NI, and there is no portable AES-GCM")
    assert records
    assert records[0]["name"] == name
    for record in records:
        assert list(record) == KEYS
        assert record["unit"] == ("B" if name == "websocket_idle_10000" else "ns")
        assert 0 < record["p50"] <= record["p99"] <= record["p999"] <= record["max"]
        assert record["peer_p50"] <= record["peer_p999"]
        assert record["ratio"] == pytest.approx(record["p50"] / record["peer_p50"], abs=1e-4)


def test_every_target_is_set_for_something_measured(results: Path) -> None:
    for name, ratios in targets.RATIOS.items():
        peers = {record["peer"] for record in json.loads((results / f"{name}.json").read_text())}
        assert ratios.keys() <= peers, name
    assert targets.GOALS_NS.keys() <= report.BENCHMARKS.keys()


def test_what_is_committed_is_what_there_is() -> None:
    assert {path.stem for path in report.RESULTS.glob("*.json")} == {*report.BENCHMARKS, "machine"}


def test_the_machine_is_described(results: Path) -> None:
    described = json.loads((results / "machine.json").read_text())
    assert described["cpu"]
    assert described["openssl"].startswith("OpenSSL")
    assert set(described["instructions"]) <= set(report.INSTRUCTIONS)


def test_an_unknown_name_is_an_error_that_lists_the_known(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        report.main(["tick_to_trade"])
    assert error.value.code == 2
    assert "tick_to_trade_tls" in capsys.readouterr().err


def test_percentiles_are_nearest_rank() -> None:
    ordered = [float(value) for value in range(1, 1001)]
    assert [samples.percentile(ordered, share) for share in (0.5, 0.99, 0.999, 1.0)] == [500, 990, 999, 1000]
    assert samples.percentile([7.0], 0.999) == 7
