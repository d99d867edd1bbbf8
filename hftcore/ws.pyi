from enum import IntEnum
from typing import Literal, final

from typing_extensions import Buffer

from hftcore.errors import HftError

__all__ = ["Frame", "FrameParser", "Opcode", "accept_key", "build_frame"]

class Opcode(IntEnum):
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10

@final
class Frame:
    def __new__(cls, opcode: int, data: bytes, close_code: int | None = None) -> Frame: ...
    @property
    def opcode(self) -> Opcode: ...
    @property
    def data(self) -> bytes: ...
    @property
    def close_code(self) -> int | None: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class FrameParser:
    def __new__(cls, role: Literal["client", "server"] = "client", max_message: int = 1_048_576) -> FrameParser: ...
    @property
    def error(self) -> HftError | None: ...
    @property
    def close_code(self) -> int | None: ...
    def feed(self, data: Buffer) -> list[Frame]: ...

def build_frame(opcode: int, payload: Buffer | str = b"", *, mask: Buffer | Literal["random"] | None) -> bytes: ...
def accept_key(key: str) -> str: ...
