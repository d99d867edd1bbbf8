"""HMAC-SHA-512 against RFC 4231 and Kraken's published example; against hmac in test_crypto_properties.py."""

from __future__ import annotations

import base64
import hashlib

import pytest

from hftcore.crypto import HmacSha512

# RFC 4231 sections 4.2 to 4.8: key, message, HMAC-SHA-512 (of case 5 the first 128 bits).
RFC_4231 = [
    (b"\x0b" * 20, b"Hi There",
     "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde"
     "daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854"),
    (b"Jefe", b"what do ya want for nothing?",
     "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
     "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"),
    (b"\xaa" * 20, b"\xdd" * 50,
     "fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33b2279d39"
     "bf3e848279a722c806b485a47e67c807b946a337bee8942674278859e13292fb"),
    (bytes(range(1, 26)), b"\xcd" * 50,
     "b0ba465637458c6990e5a8c5f61d4af7e576d97ff94b872de76f8050361ee3db"
     "a91ca5c11aa25eb4d679275cc5788063a5f19741120c4f2de2adebeb10a298dd"),
    (b"\x0c" * 20, b"Test With Truncation", "415fad6271580a531d4179bc891d87a6"),
    (b"\xaa" * 131, b"Test Using Larger Than Block-Size Key - Hash Key First",
     "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352"
     "6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598"),
    (b"\xaa" * 131,
     b"This is a test using a larger than block-size key and a larger than block-size data. "
     b"The key needs to be hashed before being used by the HMAC algorithm.",
     "e37b6a775dc87dbaa4dfa9f96e5e3ffddebd71f8867289865df5a32d20cdc944"
     "b6022cac3c4982b10d5eeb55c3e4de15134676fb6de0446065c97440fa8c6a58"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "message", "expected"), RFC_4231, ids=[f"case {i}" for i in range(1, 8)])
def test_rfc_4231(key: bytes, message: bytes, expected: str) -> None:
    mac = HmacSha512(key)
    tag = bytes.fromhex(expected)
    assert mac.hex(message)[: 2 * len(tag)] == expected
    assert mac.verify(message, tag, length=len(tag))
    assert mac.verify(message, tag) is (len(tag) == 64)


def test_kraken_official_example() -> None:
    # docs.kraken.com, "Spot REST authentication": base64(HMAC-SHA-512(secret, path + SHA-256(nonce + body))).
    secret = base64.b64decode(
        "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
    )
    body = b"nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"
    message = b"/0/private/AddOrder" + hashlib.sha256(b"1616492376594" + body).digest()
    signature = "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="
    assert HmacSha512(secret).base64(message) == signature
