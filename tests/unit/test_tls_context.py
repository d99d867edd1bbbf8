"""TLSContext and spki_pin: what is taken, what is refused, and what is never shown."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

import hftcore
from hftcore import ConfigError, Engine, TLSContext, TLSError, tls, venues
from tests.tls_servers import Place


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("tls"))


def test_pins_are_those_of_cryptography(place: Place) -> None:
    der = place.good.certificate.public_bytes(serialization.Encoding.DER)
    key = place.good.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for form in (der, bytearray(der), place.good.pem, place.good.pem.decode(), place.good.chain_pem(), key):
        assert tls.spki_pin(form) == place.good.pin
    for wrong in (b"", b"x", der[:-1], place.good.key_pem()):
        with pytest.raises(TLSError, match="neither a certificate"):
            tls.spki_pin(wrong)


def test_pins_in_every_form(place: Place) -> None:
    raw = base64.b64decode(place.good.pin.removeprefix("sha256/"))
    text = place.good.pin
    forms = [text, text.replace("/", "//", 1), text.removeprefix("sha256/"), raw]
    assert TLSContext(pins=forms).pins == (text,) * 4


def test_defaults() -> None:
    context = TLSContext()
    assert (context.ca_file, context.certificate, context.keylog_file) == (None, None, None)
    assert (context.pins, context.min_version, context.alpn, context.resumption) == ((), "1.2", ("http/1.1",), True)
    assert repr(context) == "TLSContext(pins=0, min_version='1.2', alpn=('http/1.1',))"
    assert hftcore.tls.default_context() is hftcore.tls.default_context()


def test_immutable() -> None:
    context: Any = TLSContext()
    for name in ("pins", "ca_file", "min_version", "resumption", "something"):
        with pytest.raises(AttributeError):
            setattr(context, name, ())


def test_no_secret_is_shown(place: Place, tmp_path: Path) -> None:
    certificate, key = place.file(place.client.pem), place.file(place.client.key_pem(b"open sesame"))
    good = TLSContext(certificate=certificate, key=key, password="open sesame", keylog_file=tmp_path / "log")
    assert "sesame" not in repr(good)
    assert "KEYS ARE LOGGED" in repr(good)
    with pytest.raises(TLSError) as caught:
        TLSContext(certificate=certificate, key=key, password="open barley")
    assert "barley" not in str(caught.value)
    assert "not its password" in str(caught.value)


# options -> exception, what the text says
WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"pins": ["sha256/AAAA"]}, ConfigError, "base64 of 32 bytes"),
    ({"pins": [b"short"]}, ConfigError, "base64 of 32 bytes"),
    ({"pins": ["sha256/" + "ä" * 44]}, ConfigError, "base64 of 32 bytes"),
    ({"pins": [bytes(32)] * 17}, ConfigError, "at most 16"),
    ({"pins": bytes(32)}, TypeError, "sequences"),
    ({"alpn": "http/1.1"}, TypeError, "sequences"),
    ({"alpn": ["a,b"]}, ConfigError, "without commas"),
    ({"alpn": ["x" * 255]}, TLSError, "over 254 characters"),
    ({"min_version": "1.1"}, ConfigError, "1.2 or 1.3"),
    ({"min_version": None}, TypeError, "min_version"),
    ({"ca_file": "/nowhere/ca.pem"}, TLSError, "CA file /nowhere/ca.pem: No such file"),
    ({"ca_file": "a\0b"}, ConfigError, "zero byte"),
    ({"ca_data": "no PEM"}, TLSError, "CA data: no PEM certificate in it"),
    ({"key": "/dev/null"}, TLSError, "without a certificate"),
    ({"ciphers": "NOTHING"}, TLSError, "knows no such TLS 1.2"),
    ({"ciphersuites": "NOTHING"}, TLSError, "knows no such TLS 1.3"),
    ({"keylog_file": "/dev/null"}, TLSError, "not a regular file"),
]


@pytest.mark.parametrize(("options", "error", "text"), WRONG)
def test_wrong_options(options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        TLSContext(**options)


def test_ca_data_is_read_to_its_end(place: Place) -> None:
    TLSContext(ca_data=place.root.pem + b"a comment\n" + place.middle.pem)
    damaged = place.middle.pem.replace(b"M", b"!", 1)
    with pytest.raises(TLSError, match="not all of it is readable"):
        TLSContext(ca_data=place.root.pem + damaged)


def test_an_engine_takes_one(place: Place) -> None:
    engine = Engine()
    binance = venues.get("binance")
    with pytest.raises(ConfigError, match="one of them"):
        engine.add_venue(binance, tls=TLSContext(), ca_file=str(place.file(place.root.pem)))
    with pytest.raises(TypeError):
        engine.add_venue(binance, tls="ca.pem")  # type: ignore[arg-type]
    engine.add_venue(binance, tls=TLSContext(pins=[place.root.pin]))
