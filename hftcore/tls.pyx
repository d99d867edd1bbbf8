"""What TLS connections trust, present and offer. The connections themselves are OpenSSL's, never mixed with `ssl`."""

import os
from base64 import b64decode, b64encode

import cython

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint8_t
from libc.string cimport memset

from hftcore._buffer cimport Borrowed, borrow, give_back
from hftcore._status cimport check_err, init_core
from hftcore.libhft.status cimport hft_err
from hftcore.libhft.tls cimport (
    HFT_TLS_PIN_LEN,
    HFT_TLS_PINS_MAX,
    hft_tls_config,
    hft_tls_context_close,
    hft_tls_context_open,
    hft_tls_library,
    hft_tls_pin_of,
)

from hftcore.errors import ConfigError

__all__ = ["TLSContext", "default_context", "library", "spki_pin"]

VERSIONS = {"1.2": 0x0303, "1.3": 0x0304}


def library():
    """OpenSSL's version, as linked at run time."""
    return hft_tls_library().decode()


def spki_pin(certificate):
    """The pin of a certificate (PEM or DER) or public key (PEM): "sha256/" and the base64 of the SHA-256 of its
    SubjectPublicKeyInfo (RFC 7469 section 2.4), as `curl --pinnedpubkey` and HPKP have it.

    certificate: str or bytes-like; of several in a PEM text, the first. Raises TLSError.
    """
    cdef uint8_t[32] pin
    cdef Borrowed data
    cdef hft_err err
    cdef int rc
    memset(&err, 0, sizeof(err))
    borrow(certificate.encode() if isinstance(certificate, str) else certificate, &data)
    try:
        rc = hft_tls_pin_of(pin, data.data, <size_t>data.len, &err)
    finally:
        give_back(&data)
    check_err(rc, &err)
    return "sha256/" + b64encode((<const char *>pin)[:HFT_TLS_PIN_LEN]).decode()


def _pin_bytes(pin):
    """The 32 bytes of a pin: "sha256/BASE64" ("sha256//BASE64" as curl writes it, or the base64 alone), or bytes."""
    try:
        text = "" if isinstance(pin, bytes) else pin.removeprefix("sha256/").removeprefix("/")
        data = pin if isinstance(pin, bytes) else b64decode(text, validate=True)
    except ValueError:
        data = b""
    if len(data) != HFT_TLS_PIN_LEN:
        raise ConfigError(f"pin {pin!r}: sha256/ and the base64 of 32 bytes, as hftcore.tls.spki_pin() makes it")
    return data


cdef bytes c_text(object value, str what):
    """Text for C, b"" for None."""
    if value is None:
        return b""
    data = value if isinstance(value, bytes) else os.fsencode(value)
    if b"\0" in data:
        raise ConfigError(f"{what}: a zero byte in it")
    if not data and what != "password":  # as if it was not given, other authorities would be trusted, say
        raise ConfigError(f"{what}: empty; None stands for none")
    return data


cdef const char *c_str(bytes text) noexcept:
    """NULL for b"". The caller keeps the bytes."""
    return PyBytes_AS_STRING(text) if text else NULL


cdef str path_text(object path):
    return None if path is None else os.fsdecode(path)


@cython.final
cdef class TLSContext:
    """What connections trust, present and offer. Immutable; connections of several threads may share one.

    ca_file, ca_data: PEM file, PEM text: authorities to trust *instead of* the system's.
    certificate, key, password: the client's, where a server demands one: PEM file of the certificate and those between
    it and its authority; PEM file of the key (None: in the same file); the key's password (str or bytes).
    pins: at most 16, see ``spki_pin``. With any, one of them must be the key of the server's certificate or of an
    authority above it, besides all other checks.
    min_version: "1.2" or "1.3". ciphers: for TLS 1.2, as openssl-ciphers(1) writes a list; ciphersuites: for TLS 1.3,
    with colons between. None: OpenSSL's own.
    alpn: protocols to offer (RFC 7301), the best first; what a server chooses must be among them, and it may ignore
    the offer. () offers none.
    resumption: keep the newest session with each of the last 64 servers (host and port) in memory, and resume it.
    keylog_file: appends the secrets of each session to this file (made with mode 0600; one that others may read is
    refused), for Wireshark. Whoever reads it reads the traffic. The environment variable SSLKEYLOGFILE counts nothing.

    The chain, the dates and the host name are always verified: no option turns that off.
    Raises TLSError where a file or list is not usable, ConfigError for other values that cannot be.
    """

    def __cinit__(self, *, ca_file=None, ca_data=None, certificate=None, key=None, password=None, pins=(),
                  str min_version not None="1.2", str ciphers=None, str ciphersuites=None, alpn=("http/1.1",),
                  resumption=True, keylog_file=None):
        cdef hft_tls_config config
        cdef hft_err err
        if min_version not in VERSIONS:
            raise ConfigError(f"min_version {min_version!r}: 1.2 or 1.3; older ones are broken")
        if isinstance(pins, (str, bytes)) or isinstance(alpn, (str, bytes)):
            raise TypeError("pins and alpn are sequences: a tuple or a list")
        pin_list = [_pin_bytes(pin) for pin in pins]
        if len(pin_list) > HFT_TLS_PINS_MAX:
            raise ConfigError(f"pins: at most {HFT_TLS_PINS_MAX}")
        if any(not name or "," in name for name in alpn):
            raise ConfigError(f"alpn {alpn!r}: names without commas")
        self.ca_file = path_text(ca_file)
        self.certificate = path_text(certificate)
        self.pins = tuple("sha256/" + b64encode(pin).decode() for pin in pin_list)
        self.min_version = min_version
        self.ciphers = ciphers
        self.ciphersuites = ciphersuites
        self.alpn = tuple(alpn)
        self.resumption = resumption
        self.keylog_file = path_text(keylog_file)
        names = ("ca_file", "ca_data", "certificate", "key", "password", "ciphers", "ciphersuites", "alpn",
                 "keylog_file")
        values = (ca_file, ca_data, certificate, key, password, ciphers, ciphersuites, ",".join(alpn) or None,
                  keylog_file)
        texts = [c_text(value, name) for name, value in zip(names, values, strict=True)]
        pin_data = b"".join(pin_list)
        memset(&config, 0, sizeof(config))
        memset(&err, 0, sizeof(err))
        config.ca_file = c_str(texts[0])
        config.ca_data = c_str(texts[1])
        config.cert_file = c_str(texts[2])
        config.key_file = c_str(texts[3])
        config.key_password = c_str(texts[4])
        config.ciphers = c_str(texts[5])
        config.ciphersuites = c_str(texts[6])
        config.alpn = c_str(texts[7])
        config.keylog_file = c_str(texts[8])
        config.pins = <const uint8_t (*)[32]>PyBytes_AS_STRING(pin_data)
        config.n_pins = len(pin_list)
        config.min_version = VERSIONS[min_version]
        config.resume = bool(resumption)
        check_err(hft_tls_context_open(&self.context, &config, &err), &err)

    def __dealloc__(self):
        hft_tls_context_close(self.context)

    def __repr__(self):
        trust = f"ca_file={self.ca_file!r}, " if self.ca_file is not None else ""
        client = f"certificate={self.certificate!r}, " if self.certificate is not None else ""
        log = ", KEYS ARE LOGGED" if self.keylog_file is not None else ""
        rest = f"pins={len(self.pins)}, min_version={self.min_version!r}, alpn={self.alpn}{log}"
        return f"TLSContext({trust}{client}{rest})"


def default_context():
    """The context of all defaults, made once: reading the system's authorities takes milliseconds."""
    global _default
    if _default is None:
        _default = TLSContext()
    return _default


_default = None
init_core()
