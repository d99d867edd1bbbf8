from collections.abc import Sequence
from os import PathLike
from typing import Literal, final

from typing_extensions import Buffer

__all__ = ["TLSContext", "default_context", "library", "spki_pin"]

VERSIONS: dict[str, int]

def default_context() -> TLSContext: ...
def library() -> str: ...
def spki_pin(certificate: Buffer | str) -> str: ...

@final
class TLSContext:
    def __new__(
        cls,
        *,
        ca_file: str | PathLike[str] | None = None,
        ca_data: str | bytes | None = None,
        certificate: str | PathLike[str] | None = None,
        key: str | PathLike[str] | None = None,
        password: str | bytes | None = None,
        pins: Sequence[bytes | str] = (),
        min_version: Literal["1.2", "1.3"] = "1.2",
        ciphers: str | None = None,
        ciphersuites: str | None = None,
        alpn: Sequence[str] = ("http/1.1",),
        resumption: bool = True,
        keylog_file: str | PathLike[str] | None = None,
    ) -> TLSContext: ...
    @property
    def ca_file(self) -> str | None: ...
    @property
    def certificate(self) -> str | None: ...
    @property
    def pins(self) -> tuple[str, ...]: ...
    @property
    def min_version(self) -> str: ...
    @property
    def ciphers(self) -> str | None: ...
    @property
    def ciphersuites(self) -> str | None: ...
    @property
    def alpn(self) -> tuple[str, ...]: ...
    @property
    def resumption(self) -> bool: ...
    @property
    def keylog_file(self) -> str | None: ...
