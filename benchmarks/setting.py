"""The one order, key, certificate and watched script that all benchmarks use."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hftcore import WatchTable
from hftcore.venues import Credentials, Order

SCRIPT = bytes.fromhex("0014") + hashlib.sha256(b"exchange").digest()[:20]  # P2WPKH
LABEL = "exchange"
CREDENTIALS = Credentials("k" * 64, b"s" * 64)  # as long as Binance's
ORDER = Order(symbol="BTCUSDT", side="SELL", type="LIMIT", quantity="0.00100000", price="52000.00", time_in_force="GTC")
WATCHED = 10_000  # scripts in the table, of which one is ever paid


def other_scripts() -> list[bytes]:
    """The watched P2WPKH scripts that nobody pays, as varied as hashes are and the same in every run."""
    return [bytes.fromhex("0014") + hashlib.sha256(number.to_bytes(4)).digest()[:20] for number in range(WATCHED - 1)]


def watch_table() -> WatchTable:
    """A table with as many scripts as a well-kept list of exchange wallets has."""
    table = WatchTable(WATCHED)
    table.add(SCRIPT, LABEL)
    for number, script in enumerate(other_scripts()):
        table.add(script, f"other {number % 20}")
    return table


def certificate(folder: Path) -> tuple[Path, Path]:
    """A throw-away server certificate for loopback, which is also the authority to trust, and its key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hftcore benchmark")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_file, key_file
