"""SHA-256 and HMAC-SHA-256 against NIST's, the RFC's, Wycheproof's and AWS-LC's vectors.

test_crypto_kernels.py runs this file again on each of the core's kernels.
"""

from __future__ import annotations

import hmac
import json
import os
import re
from pathlib import Path

import pytest

from hftcore._status import sha256_kernel
from hftcore.crypto import HmacSha256, sha256, sha256d


@pytest.fixture(scope="session")
def vectors(shared: Path) -> Path:
    return shared / "data" / "sha"


def entries(text: str) -> list[dict[str, str]]:
    """The blocks of `key = value` lines of a CAVP file."""
    blocks = [dict(re.findall(r"^(\w+) = ?(.*)$", block, re.MULTILINE)) for block in re.split(r"\r?\n\s*\n", text)]
    return [block for block in blocks if block]


def test_the_kernel_is_the_one_asked_for() -> None:
    wanted = os.environ.get("HFTCORE_CPU")
    assert sha256_kernel() == wanted if wanted else sha256_kernel() in ("portable", "avx2", "shani", "avx512")


@pytest.mark.parametrize(("name", "least"), [("SHA256ShortMsg.rsp", 65), ("SHA256LongMsg.rsp", 64)])
def test_nist_messages(vectors: Path, name: str, least: int) -> None:
    blocks = [block for block in entries((vectors / name).read_text()) if "Msg" in block]
    assert len(blocks) >= least
    for block in blocks:
        message = bytes.fromhex(block["Msg"])[: int(block["Len"]) // 8]
        assert sha256(message).hex() == block["MD"]


def test_nist_monte_carlo(vectors: Path) -> None:
    text = (vectors / "SHA256Monte.rsp").read_text()
    seed = bytes.fromhex(re.search(r"^Seed = (\w+)", text, re.MULTILINE)[1])  # type: ignore[index]
    expected = re.findall(r"^MD = (\w+)", text, re.MULTILINE)
    assert len(expected) == 100
    for digest in expected:
        last = [seed] * 3
        for _ in range(1000):
            last = [last[1], last[2], sha256(b"".join(last))]
        seed = last[2]
        assert seed.hex() == digest


def test_rfc_4231(vectors: Path) -> None:
    blocks = [block for block in entries((vectors / "rfc-4231-sha256.txt").read_text()) if "MD" in block]
    assert len(blocks) >= 6
    for block in blocks:
        message = bytes.fromhex(block["Msg"])
        assert HmacSha256(bytes.fromhex(block["Key"])).hex(message) == block["MD"]


def test_rfc_4231_truncated() -> None:
    # Section 4.6, which the file above leaves out: the first 128 bits.
    mac, message, tag = HmacSha256(b"\x0c" * 20), b"Test With Truncation", "a3b6167473100ee06e0c796c2955552b"
    assert mac.hex(message)[:32] == tag
    assert mac.verify(message, bytes.fromhex(tag), length=16)
    assert not mac.verify(message, bytes.fromhex(tag))


def test_wycheproof(vectors: Path) -> None:
    suite = json.loads((vectors / "hmac_sha256_test.json").read_text())
    counts = {"valid": 0, "invalid": 0}
    for group in suite["testGroups"]:
        tag_len = group["tagSize"] // 8
        for case in group["tests"]:
            mac = HmacSha256(bytes.fromhex(case["key"]))
            message, tag = bytes.fromhex(case["msg"]), bytes.fromhex(case["tag"])
            valid = case["result"] == "valid"
            assert mac.verify(message, tag, length=tag_len) is valid, case["tcId"]
            assert mac.verify(message, tag) is (valid and tag_len == 32), case["tcId"]
            counts[case["result"]] += 1
    assert sum(counts.values()) == suite["numberOfTests"]
    assert min(counts.values()) > 10


def test_aws_lc(vectors: Path) -> None:
    blocks = [block for block in entries((vectors / "awslc_hmac_tests.txt").read_text()) if block["HMAC"] == "SHA256"]

    def value(text: str) -> bytes:
        return text[1:-1].encode() if text.startswith('"') else bytes.fromhex(text)

    assert len(blocks) >= 4
    for block in blocks:
        assert HmacSha256(value(block["Key"])).hex(value(block["Input"])) == block["Output"].lower()


def test_bitcoin_genesis_block() -> None:
    header = bytes.fromhex(
        f"01000000{'00' * 32}3ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c"
    )
    assert sha256d(header)[::-1].hex() == "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"


def test_binance_official_example() -> None:
    # binance-spot-api-docs, web-socket-api.md, "SIGNED request example (HMAC)".
    secret = b"NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
    payload = (
        b"apiKey=vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A&price=52000.00&quantity=0.01000000"
        b"&recvWindow=100&side=SELL&symbol=BTCUSDT&timeInForce=GTC&timestamp=1645423376532&type=LIMIT"
    )
    signature = "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24"
    assert HmacSha256(secret).hex(payload) == signature
    assert HmacSha256(secret).verify(payload, bytes.fromhex(signature))
    assert hmac.new(secret, payload, "sha256").hexdigest() == signature
