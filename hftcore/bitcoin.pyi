from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple, final

from typing_extensions import Buffer

from hftcore.addresses import NETWORKS as NETWORKS
from hftcore.addresses import Network as Network
from hftcore.addresses import decode_address as decode_address
from hftcore.addresses import encode_address as encode_address
from hftcore.addresses import get_network as get_network
from hftcore.errors import HftError
from hftcore.tx import Block as Block
from hftcore.tx import OutPoint as OutPoint
from hftcore.tx import Owner as Owner
from hftcore.tx import OwnerReason as OwnerReason
from hftcore.tx import ScriptType as ScriptType
from hftcore.tx import Transaction as Transaction
from hftcore.tx import TxIn as TxIn
from hftcore.tx import TxOut as TxOut
from hftcore.tx import classify_script as classify_script
from hftcore.tx import parse_block as parse_block
from hftcore.tx import parse_transaction as parse_transaction
from hftcore.tx import split_transactions as split_transactions
from hftcore.watch import WatchTable as WatchTable

__all__ = [
    "INV_MAX",
    "MESSAGE_MAX",
    "NETWORKS",
    "PROTOCOL_VERSION",
    "Block",
    "InvEntry",
    "InvType",
    "Message",
    "MessageParser",
    "Network",
    "OutPoint",
    "Owner",
    "OwnerReason",
    "ScriptType",
    "Transaction",
    "TxIn",
    "TxOut",
    "Version",
    "WatchTable",
    "build_inv",
    "build_message",
    "build_version",
    "classify_script",
    "decode_address",
    "decode_compact_size",
    "encode_address",
    "encode_compact_size",
    "get_network",
    "parse_block",
    "parse_inv",
    "parse_transaction",
    "parse_version",
    "split_transactions",
]

PROTOCOL_VERSION: int
MESSAGE_MAX: int
INV_MAX: int

class InvType(IntEnum):
    TX = 1
    BLOCK = 2
    WTX = 5
    WITNESS_TX = 0x40000001

class Message(NamedTuple):
    command: str
    payload: bytes

class Version(NamedTuple):
    version: int
    services: int
    timestamp: int
    nonce: int
    user_agent: str
    start_height: int
    relay: bool

class InvEntry(NamedTuple):
    type: int
    hash: str

@final
class MessageParser:
    def __init__(self, network: str = "mainnet", *, message_max: int = 4_000_000) -> None: ...
    @property
    def error(self) -> HftError | None: ...
    def feed(self, data: Buffer) -> list[Message]: ...

def build_message(network: str, command: str, payload: Buffer = b"") -> bytes: ...
def build_version(
    network: str,
    *,
    version: int = 70016,
    services: int = 0,
    timestamp: int | None = None,
    nonce: int | None = None,
    user_agent: str = "/hftcore:0.1.0/",
    start_height: int = 0,
    relay: bool = True,
) -> bytes: ...
def build_inv(network: str, command: str, type: int, hashes: Iterable[str]) -> bytes: ...
def parse_version(payload: Buffer) -> Version: ...
def parse_inv(payload: Buffer) -> list[InvEntry]: ...
def encode_compact_size(value: int) -> bytes: ...
def decode_compact_size(data: Buffer, pos: int = 0) -> tuple[int, int]: ...
