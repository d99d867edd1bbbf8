"""Bitcoin transactions and blocks over bytes; hftcore.bitcoin is the door to them.

Parsing checks the structure and notes where the parts lie. Inputs, outputs, hashes, witnesses and owners are made when
they are looked at.
"""

from array import array
from collections import namedtuple
from enum import StrEnum

import cython

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from hftcore._buffer cimport as_bytes, ptr
from hftcore._status cimport check, init_core, make_error
from hftcore.libhft.btc cimport (
    hft_btc_classify,
    hft_btc_compact_size_read,
    hft_btc_ids,
    hft_btc_input_owner,
    hft_btc_item,
    hft_btc_next_input,
    hft_btc_next_item,
    hft_btc_next_output,
    hft_btc_next_witness,
    hft_btc_output,
    hft_btc_owner,
    hft_btc_parse_tx,
    hft_btc_tx,
    hft_btc_txid,
    hft_btc_vsize,
    hft_btc_weight,
)
from hftcore.libhft.sha256 cimport hft_merkle_root, hft_sha256d_digest
from hftcore.libhft.status cimport HFT_E_BTC_TRAILING, HFT_E_BTC_TRUNCATED, HFT_E_BTC_TX

from hftcore.addresses import encode_address

__all__ = [
    "Block",
    "OutPoint",
    "Owner",
    "OwnerReason",
    "ScriptType",
    "Transaction",
    "TxIn",
    "TxOut",
    "classify_script",
    "parse_block",
    "parse_transaction",
    "split_transactions",
]

init_core()

cdef size_t BLOCK_HEADER_LEN = 80


class ScriptType(StrEnum):
    """The type of a scriptPubKey, by the rules of Bitcoin Core (script/solver.cpp).

    ANCHOR is pay to anchor, WITNESS_UNKNOWN a witness version (or a length of version 1) without a meaning yet,
    OP_RETURN carries data and cannot be spent, MULTISIG is bare. NONSTANDARD is everything else.
    """

    NONSTANDARD = "nonstandard"
    P2PK = "p2pk"
    P2PKH = "p2pkh"
    P2SH = "p2sh"
    P2WPKH = "p2wpkh"
    P2WSH = "p2wsh"
    P2TR = "p2tr"
    ANCHOR = "anchor"
    WITNESS_UNKNOWN = "witness_unknown"
    MULTISIG = "multisig"
    OP_RETURN = "op_return"


class OwnerReason(StrEnum):
    """Whether it is known whose output an input spends, and if not, why."""

    KNOWN = "known"  # certain, if the transaction is valid
    COINBASE = "coinbase"  # it spends nothing: new coins
    NO_DATA = "no_data"  # neither scriptSig nor witness: an anchor, or a witness that was left out
    SIGNATURE_ONLY = "signature_only"  # P2PK or bare multisig: the keys stand in the output
    TAPROOT_KEY = "taproot_key"  # taproot, spent by its key, which stands in the output
    TAPROOT_SCRIPT = "taproot_script"  # taproot, spent by a script
    AMBIGUOUS = "ambiguous"  # what may be a public key may also be a script that runs
    NONSTANDARD = "nonstandard"  # nothing that nodes relay can be unlocked like this


# In the order of hft_btc_script_type and hft_btc_owner_reason.
cdef tuple SCRIPT_TYPES = tuple(ScriptType)
cdef tuple OWNER_REASONS = tuple(OwnerReason)

OutPoint = namedtuple("OutPoint", ("txid", "vout"), module=__name__)
OutPoint.__doc__ = "An output of an earlier transaction: its txid as hex in display order, its number."

Owner = namedtuple("Owner", ("script", "type", "reason"), module=__name__)
Owner.__doc__ = """Whose output an input spends: its scriptPubKey and ScriptType, or None and None, and an OwnerReason.

A script given is certain: of all outputs whose spending Bitcoin Core relays no other fits, if the transaction is valid.
No signature is checked, so a transaction that no node would relay can claim any owner.
"""

cdef tuple UNKNOWN_OWNERS = tuple([Owner(None, None, reason) for reason in OwnerReason])


def classify_script(script):
    """The ScriptType of a scriptPubKey (bytes-like)."""
    cdef bytes data = as_bytes(script)
    return SCRIPT_TYPES[<int>hft_btc_classify(ptr(data), <size_t>PyBytes_GET_SIZE(data))]


# ---- transactions ----

@cython.final
@cython.no_gc
@cython.freelist(256)
cdef class TxOut:
    """An output: `value` in satoshi and its scriptPubKey. Made by Transaction.outputs."""

    def __init__(self):
        raise TypeError("outputs come from Transaction.outputs")

    @property
    def script(self):
        """The scriptPubKey."""
        return PyBytes_FromStringAndSize(PyBytes_AS_STRING(self._raw) + self._script_pos, self._script_len)

    @property
    def type(self):
        """What kind of script it is, a ScriptType."""
        return SCRIPT_TYPES[<int>hft_btc_classify(ptr(self._raw) + self._script_pos, self._script_len)]

    def address(self, network="mainnet"):
        """The address of the script, or None if its type has none."""
        return encode_address(self.script, network)

    def __eq__(self, other):
        if not isinstance(other, TxOut):
            return NotImplemented
        cdef TxOut that = <TxOut>other
        return self.value == that.value and self.script == that.script

    def __hash__(self):
        return hash((self.value, self.script))

    def __repr__(self):
        return f"<TxOut: {self.value} sat, {self.type}, {self.script.hex()}>"


@cython.final
@cython.no_gc
@cython.freelist(256)
cdef class TxIn:
    """An input: the output it spends and what unlocks that. Made by Transaction.inputs."""

    def __init__(self):
        raise TypeError("inputs come from Transaction.inputs")

    @property
    def prevout(self):
        """The OutPoint that is spent; a coinbase has 64 zeros and 4294967295."""
        if self._raw is None:
            return None
        return OutPoint(display(self._input.prev_txid), self._input.prev_index)

    @property
    def script(self):
        """The scriptSig."""
        return PyBytes_FromStringAndSize(<const char *>self._input.script, self._input.script_len)

    @property
    def sequence(self):
        """The sequence number (BIP68, BIP125)."""
        return self._input.sequence

    @property
    def witness(self):
        """The items of the witness, a tuple of bytes; empty if there are none."""
        cdef hft_btc_item item
        cdef uint32_t pos = 0
        items = []
        for _ in range(self._witness.n_items):
            hft_btc_next_item(&item, &self._witness, &pos)
            items.append(PyBytes_FromStringAndSize(<const char *>item.data, item.len))
        return tuple(items)

    @property
    def owner(self):
        """Whose output is spent, as far as what unlocks it tells: an Owner. No UTXO set is needed."""
        cdef hft_btc_owner owner
        if self._owner is None and self._raw is not None:
            if hft_btc_input_owner(&owner, &self._input, &self._witness):
                script = PyBytes_FromStringAndSize(<const char *>owner.script, owner.script_len)
                self._owner = Owner(script, SCRIPT_TYPES[owner.type], OWNER_REASONS[owner.reason])
            else:
                self._owner = UNKNOWN_OWNERS[owner.reason]
        return self._owner

    def __repr__(self):
        return f"<TxIn: {self.prevout.txid}:{self.prevout.vout}>" if self._raw is not None else "<TxIn>"


@cython.final
@cython.no_gc
cdef class Transaction:
    """A transaction that parse_transaction() accepted: `raw` and what it says.

    Hashes, inputs and outputs are worked out when asked for.
    """

    def __cinit__(self, raw):
        self.raw = as_bytes(raw)
        cdef size_t size = <size_t>PyBytes_GET_SIZE(self.raw)
        cdef int rc = hft_btc_parse_tx(&self.tx, ptr(self.raw), size)
        if rc < 0:
            raise make_error(rc, "transaction", self.tx.size)
        if self.tx.size != size:
            raise make_error(HFT_E_BTC_TRAILING, f"transaction of {self.tx.size} bytes, {size} given", self.tx.size)

    cdef int _hash(self) except -1:
        cdef uint8_t txid[32]
        cdef uint8_t wtxid[32]
        hft_btc_ids(txid, wtxid, &self.tx)
        self._txid = display(txid)
        self._wtxid = display(wtxid)
        return 0

    @property
    def txid(self):
        """The double SHA-256 without the witness: hex, display order."""
        if self._txid is None:
            self._hash()
        return self._txid

    @property
    def wtxid(self):
        """The double SHA-256 with the witness (BIP141): hex, display order."""
        if self._wtxid is None:
            self._hash()
        return self._wtxid

    @property
    def version(self):
        """The version field, signed."""
        return self.tx.version

    @property
    def locktime(self):
        """The lock time: a block height, or Unix seconds from 500,000,000 on."""
        return self.tx.locktime

    @property
    def size(self):
        """Length in bytes, witness included."""
        return self.tx.size

    @property
    def weight(self):
        """Weight units: three times the size without the witness, and the whole size (BIP141)."""
        return hft_btc_weight(&self.tx)

    @property
    def vsize(self):
        """Virtual size: weight units / 4, rounded up (BIP141)."""
        return hft_btc_vsize(&self.tx)

    @property
    def has_witness(self):
        """Whether at least one input carries a witness."""
        return self.tx.witness_pos != 0

    @property
    def inputs(self):
        """The inputs, a tuple of TxIn."""
        cdef uint32_t pos = self.tx.inputs_pos, witness_pos = self.tx.witness_pos
        cdef TxIn found
        if self._inputs is None:
            inputs = []
            for _ in range(self.tx.n_inputs):
                found = TxIn.__new__(TxIn)
                found._raw = self.raw
                hft_btc_next_input(&found._input, &self.tx, &pos)
                hft_btc_next_witness(&found._witness, &self.tx, &witness_pos)
                inputs.append(found)
            self._inputs = tuple(inputs)
        return self._inputs

    @property
    def outputs(self):
        """The outputs, a tuple of TxOut."""
        cdef hft_btc_output output
        cdef uint32_t pos = self.tx.outputs_pos, i
        cdef TxOut found
        cdef tuple outputs
        if self._outputs is None:
            outputs = PyTuple_New(self.tx.n_outputs)
            for i in range(self.tx.n_outputs):
                hft_btc_next_output(&output, &self.tx, &pos)
                found = TxOut.__new__(TxOut)
                found._raw = self.raw
                found.value = output.value
                found._script_pos = <uint32_t>(output.script - self.tx.data)
                found._script_len = output.script_len
                Py_INCREF(found)
                PyTuple_SET_ITEM(outputs, i, found)
            self._outputs = outputs
        return self._outputs

    def __repr__(self):
        return f"<Transaction {self.txid}: {self.tx.n_inputs} in, {self.tx.n_outputs} out, {self.vsize} vB>"


def parse_transaction(raw):
    """The transaction that `raw` (bytes-like) is, from its first to its last byte (BIP144 serialisation).

    Structure and amounts are checked, scripts and signatures are not. Raises RemoteProtocolError: HFT_E_BTC_TRUNCATED,
    _COMPACT_SIZE, _TX (no input, no output, superfluous witness, unknown flag), _AMOUNT, _TOO_LARGE, _TRAILING; its
    `.pos` is where the part begins that is wrong.
    """
    return Transaction.__new__(Transaction, raw)


# ---- blocks ----

@cython.final
@cython.no_gc
cdef class Block:
    """A block that parse_block() accepted: its header and its transactions. Hashes are hex in display order."""

    def __cinit__(self, raw):
        self.raw = as_bytes(raw)
        cdef size_t size = <size_t>PyBytes_GET_SIZE(self.raw), pos = BLOCK_HEADER_LEN
        cdef hft_btc_tx tx
        cdef uint64_t n, i
        if size <= BLOCK_HEADER_LEN:
            raise make_error(HFT_E_BTC_TRUNCATED, "block header", size)
        cdef int rc = hft_btc_compact_size_read(&n, ptr(self.raw), size, &pos, size)
        if rc < 0:
            raise make_error(rc, "block's count of transactions", pos)
        if n == 0:
            raise make_error(HFT_E_BTC_TX, "block without transactions", pos)
        edges = array("I", [pos])
        for i in range(n):
            rc = hft_btc_parse_tx(&tx, ptr(self.raw) + pos, size - pos)
            if rc < 0:
                raise make_error(rc, f"transaction {i + 1} of the block, at byte {pos}", pos + tx.size)
            pos += tx.size
            edges.append(pos)
        if pos != size:
            raise make_error(HFT_E_BTC_TRAILING, f"block of {pos} bytes, {size} given", pos)
        self._edges = edges.tobytes()

    def _u32(self, pos):
        return int.from_bytes(self.raw[pos:pos + 4], "little")

    @property
    def hash(self):
        """The double SHA-256 of the header."""
        cdef uint8_t digest[32]
        hft_sha256d_digest(digest, ptr(self.raw), BLOCK_HEADER_LEN)
        return display(digest)

    @property
    def version(self):
        """The version field, signed."""
        return int.from_bytes(self.raw[:4], "little", signed=True)

    @property
    def prev_hash(self):
        """The hash of the block before."""
        return self.raw[4:36][::-1].hex()

    @property
    def merkle_root(self):
        """The root of all txids, as the header gives it."""
        return self.raw[36:68][::-1].hex()

    @property
    def time(self):
        """When it was found, as the miner says: Unix seconds."""
        return self._u32(68)

    @property
    def bits(self):
        """The target of the proof of work, in compact form."""
        return self._u32(72)

    @property
    def nonce(self):
        """The nonce of the proof of work."""
        return self._u32(76)

    @property
    def transactions(self):
        """The transactions, a tuple of Transaction."""
        if self._transactions is None:
            edges = array("I", self._edges)
            found = [Transaction(self.raw[edges[i]:edges[i + 1]]) for i in range(len(edges) - 1)]
            self._transactions = tuple(found)
        return self._transactions

    @property
    def merkle_root_matches(self):
        """Whether the header's root is that of the transactions, and of no other list (CVE-2012-2459)."""
        cdef hft_btc_tx tx
        cdef uint8_t root[32]
        cdef const uint8_t *data = ptr(self.raw)
        cdef const uint32_t *edges = <const uint32_t *>ptr(self._edges)
        cdef size_t n = <size_t>PyBytes_GET_SIZE(self._edges) // sizeof(uint32_t) - 1, i
        cdef bytes level
        if self._merkle_root_matches is None:
            level = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>(32 * n))
            for i in range(n):
                check(hft_btc_parse_tx(&tx, data + edges[i], edges[i + 1] - edges[i]))
                hft_btc_txid(<uint8_t *>ptr(level) + 32 * i, &tx)
            repeated = hft_merkle_root(root, <uint8_t *>ptr(level), n)
            self._merkle_root_matches = not repeated and memcmp(root, data + 36, 32) == 0
        return self._merkle_root_matches

    def __len__(self):
        return len(self._edges) // sizeof(uint32_t) - 1

    def __repr__(self):
        return f"<Block {self.hash}: {len(self)} transactions, {len(self.raw)} bytes>"


def parse_block(raw):
    """The Block that `raw` (bytes-like) is: 80-byte header, count, transactions, each checked as by
    parse_transaction().

    Neither the proof of work nor the merkle root is checked: see Block.hash, Block.merkle_root_matches. Raises
    RemoteProtocolError as parse_transaction() does, HFT_E_BTC_TX also for a block without transactions.
    """
    return Block(raw)


def split_transactions(raw):
    """The raw transactions of a file: either u32 count, then for each u32 length and its bytes (little-endian), or a
    raw block. The first form is taken where its lengths fill the file exactly; its transactions are not parsed.
    """
    cdef bytes data = as_bytes(raw)
    result = []
    count, pos = int.from_bytes(data[:4], "little"), 4
    while len(result) < count and pos + 4 <= len(data):
        end = pos + 4 + int.from_bytes(data[pos:pos + 4], "little")
        if end > len(data):
            break
        result.append(data[pos + 4:end])
        pos = end
    if len(data) >= 4 and len(result) == count and pos == len(data):
        return result
    return [tx.raw for tx in parse_block(data).transactions]
