"""Properties of the Bitcoin codecs; python-bitcoinlib is the second opinion on whatever is accepted."""

from __future__ import annotations

import contextlib
import struct

import pytest
from bitcoin.core import CTransaction, b2lx
from hypothesis import given, settings
from hypothesis import strategies as st

from hftcore import bitcoin
from hftcore.errors import ConfigError, RemoteProtocolError
from runner.sim import address as sim_address

MONEY_MAX = 21_000_000 * 100_000_000

Made = tuple[bytes, bytes, list[tuple[int, bytes]]]


def compact_size(value: int) -> bytes:
    if value < 0xFD:
        return struct.pack("<B", value)
    if value <= 0xFFFF:
        return struct.pack("<BH", 0xFD, value)
    return struct.pack("<BI", 0xFE, value) if value <= 0xFFFFFFFF else struct.pack("<BQ", 0xFF, value)


def var_bytes(data: bytes) -> bytes:
    return compact_size(len(data)) + data


blobs = st.one_of(st.binary(max_size=120), st.integers(250, 600).map(bytes))
u32 = st.integers(0, 0xFFFFFFFF)


@st.composite
def transactions(draw: st.DrawFn) -> Made:
    """(with witness, without, outputs)."""
    inputs = draw(st.lists(st.tuples(st.binary(min_size=32, max_size=32), u32, blobs, u32), min_size=1, max_size=4))
    outputs = draw(st.lists(st.tuples(st.integers(0, MONEY_MAX // 4), blobs), min_size=1, max_size=4))
    witness = draw(st.lists(st.lists(blobs, max_size=3), min_size=len(inputs), max_size=len(inputs)))
    head, tail = struct.pack("<i", draw(st.integers(-(1 << 31), (1 << 31) - 1))), struct.pack("<I", draw(u32))
    body = compact_size(len(inputs))
    body += b"".join(h + struct.pack("<I", n) + var_bytes(s) + struct.pack("<I", q) for h, n, s, q in inputs)
    body += compact_size(len(outputs)) + b"".join(struct.pack("<q", v) + var_bytes(s) for v, s in outputs)
    plain = head + body + tail
    if not any(witness):
        return plain, plain, outputs
    stacks = b"".join(compact_size(len(stack)) + b"".join(map(var_bytes, stack)) for stack in witness)
    return head + b"\0\1" + body + stacks + tail, plain, outputs


def agrees_with_bitcoinlib(raw: bytes) -> bool:
    """False if refused. Whatever is accepted, the other implementation must read the same way."""
    try:
        tx = bitcoin.parse_transaction(raw)
    except RemoteProtocolError:
        return False
    other = CTransaction.deserialize(raw)
    assert tx.txid == b2lx(other.GetTxid())
    assert tx.wtxid == b2lx(other.GetHash())
    assert [(out.value, out.script) for out in tx.outputs] == [
        (out.nValue, bytes(out.scriptPubKey)) for out in other.vout
    ]
    assert [(*i.prevout, i.script, i.sequence) for i in tx.inputs] == [
        (b2lx(i.prevout.hash), i.prevout.n, bytes(i.scriptSig), i.nSequence) for i in other.vin
    ]
    if tx.has_witness:
        assert [i.witness for i in tx.inputs] == [tuple(i.scriptWitness.stack) for i in other.wit.vtxinwit]
    for i in tx.inputs:
        owner = i.owner
        assert (owner.reason == "known") == (owner.script is not None) == (owner.type is not None)
        assert owner.script is None or bitcoin.classify_script(owner.script) is owner.type
    assert (tx.version, tx.locktime) == (other.nVersion, other.nLockTime)
    return True


@given(transactions())
@settings(deadline=None)
def test_transactions(made: Made) -> None:
    raw, plain, outputs = made
    tx = bitcoin.parse_transaction(raw)
    assert [(out.value, out.script) for out in tx.outputs] == outputs
    assert tx.size == len(raw)
    assert tx.weight == 3 * len(plain) + len(raw)
    assert tx.vsize == -(-(3 * len(plain) + len(raw)) // 4)
    assert tx.has_witness == (raw != plain)
    assert agrees_with_bitcoinlib(raw)


@given(transactions())
@settings(deadline=None, max_examples=30)
def test_every_truncation_is_refused(made: Made) -> None:
    raw = made[0]
    for size in range(len(raw)):
        with pytest.raises(RemoteProtocolError) as caught:
            bitcoin.parse_transaction(raw[:size])
        assert caught.value.name == "HFT_E_BTC_TRUNCATED"


@given(transactions(), st.data())
@settings(deadline=None, max_examples=300)
def test_mutations(made: Made, data: st.DataObject) -> None:
    raw = bytearray(made[0])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw)))
        raw[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=4))
    assert agrees_with_bitcoinlib(bytes(raw)) == agrees_with_bitcoinlib(bytes(raw))


@given(st.binary(max_size=400))
def test_noise(data: bytes) -> None:
    for parse in (bitcoin.parse_transaction, bitcoin.parse_block, bitcoin.parse_inv, bitcoin.parse_version):
        with contextlib.suppress(RemoteProtocolError):
            parse(data)


@given(st.one_of(st.integers(0, (1 << 64) - 1), st.integers(0, 64).map(lambda n: (1 << n) - 1)))
def test_compact_size_round_trip(value: int) -> None:
    encoded = bitcoin.encode_compact_size(value)
    assert encoded == compact_size(value)
    assert bitcoin.decode_compact_size(b"\xff" + encoded + b"\0", 1) == (value, 1 + len(encoded))


@given(st.sampled_from([(0xFD, "<H", 0xFC), (0xFE, "<I", 0xFFFF), (0xFF, "<Q", 0xFFFFFFFF)]), st.data())
def test_non_canonical_compact_size(form: tuple[int, str, int], data: st.DataObject) -> None:
    marker, layout, highest = form
    value = data.draw(st.integers(0, highest))
    with pytest.raises(RemoteProtocolError) as caught:
        bitcoin.decode_compact_size(bytes([marker]) + struct.pack(layout, value))
    assert caught.value.name == "HFT_E_BTC_COMPACT_SIZE"


commands = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=12)


@given(st.lists(st.tuples(commands, st.binary(max_size=200)), max_size=5), st.data())
def test_messages_at_any_split(messages: list[tuple[str, bytes]], data: st.DataObject) -> None:
    stream = b"".join(bitcoin.build_message("testnet4", command, payload) for command, payload in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    parser = bitcoin.MessageParser("testnet4")
    got = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += parser.feed(stream[start:end])
    assert got == messages


@given(
    st.binary(min_size=20, max_size=20), st.binary(min_size=32, max_size=32), st.sampled_from(list(bitcoin.NETWORKS))
)
def test_addresses(short: bytes, long: bytes, network: str) -> None:
    for script in (
        b"\x76\xa9\x14" + short + b"\x88\xac",
        b"\xa9\x14" + short + b"\x87",
        b"\x00\x14" + short,
        b"\x00\x20" + long,
        b"\x51\x20" + long,
    ):
        text = bitcoin.encode_address(script, network)
        assert text is not None
        assert bitcoin.decode_address(text, network) == script


ADDRESSES = [
    "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
    "3P14159f73E4gFr7JterCCQh9QjiTjiZrG",
    "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",
    "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
    "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
]


@given(st.sampled_from(ADDRESSES), st.sampled_from(list(bitcoin.NETWORKS)), st.data())
@settings(deadline=None, max_examples=300)
def test_addresses_like_an_independent_decoder(address: str, network: str, data: st.DataObject) -> None:
    """hftcore's codec is C; the simulator's is plain Python."""
    text = list(address)
    for _ in range(data.draw(st.integers(0, 2))):
        at = data.draw(st.integers(0, len(text)))
        text[at : at + data.draw(st.integers(0, 1))] = data.draw(st.text("1qzA0lé ", max_size=2))
    changed = "".join(text)
    try:
        expected = sim_address.decode_address(changed, network)
    except ValueError:
        expected = None
    try:
        assert bitcoin.decode_address(changed, network) == expected
    except ConfigError:
        assert expected is None


@given(st.binary(max_size=50), st.sampled_from(list(bitcoin.NETWORKS)))
def test_scripts_without_a_type_have_no_address(script: bytes, network: str) -> None:
    has_one = bitcoin.classify_script(script) in {
        "p2pkh",
        "p2sh",
        "p2wpkh",
        "p2wsh",
        "p2tr",
        "anchor",
        "witness_unknown",
    }
    assert (bitcoin.encode_address(script, network) is not None) == has_one


@given(st.text(max_size=100))
def test_any_text_is_an_address_or_a_config_error(text: str) -> None:
    try:
        script = bitcoin.decode_address(text)
    except ConfigError:
        return
    assert (bitcoin.encode_address(script) or "").lower() == text.lower()


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=60), st.sampled_from(["a", "b", "c"])), max_size=60))
def test_watch_table_is_a_dict(entries: list[tuple[bytes, str]]) -> None:
    table = bitcoin.WatchTable(1)
    model: dict[bytes, str] = {}
    for script, label in entries:
        if model.setdefault(script, label) == label:
            table.add(script, label)
    assert len(table) == len(model)
    for script, _ in entries:
        assert table.find(script) == model[script]
        for other in (script[:-1], script + b"\0", script[:-1] + bytes([script[-1] ^ 1])):
            assert table.find(other) == model.get(other)
