"""Records of the engine's queue become the events of hftcore.events."""

import cython

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t

from hftcore._peers cimport endpoint_of
from hftcore._status cimport init_core, make_error
from hftcore.libhft.engine cimport (
    HFT_EVENT_DEPOSIT,
    HFT_EVENT_INTERNAL,
    HFT_EVENT_ORDER,
    HFT_EVENT_PEER,
    HFT_EVENT_REPLACEMENT,
    HFT_EVENT_REVOKED,
    HFT_EVENT_VENUE,
    HFT_EVENT_WATCH,
    HFT_EVENT_WHALE,
    HFT_STAGES,
)
from hftcore.libhft.status cimport hft_status_name

from hftcore.endpoints import format_endpoint
from hftcore.events import (
    STAGES,
    DepositEvent,
    InternalEvent,
    OrderEvent,
    PeerEvent,
    ReplacementEvent,
    RevokedEvent,
    VenueEvent,
    WatchEvent,
    WhaleEvent,
    WithdrawalEvent,
)

# In the orders of hft_link_state, hft_order_state and hft_error_class.
LINK_STATES = ("connecting", "ready", "lost")
ORDER_STATES = (
    "sent", "dry_run", "refused", "acknowledged", "partially_filled", "filled", "canceled", "rejected", "unknown",
)
ERROR_CLASSES = (
    "other", "clock", "auth", "rate_limit", "order_limit", "filter", "duplicate", "funds", "unknown_order",
    "would_cross", "outcome_unknown", "halted",
)


cdef str display(const uint8_t *digest):
    return PyBytes_FromStringAndSize(<const char *>digest, 32)[::-1].hex()


@cython.final
cdef class EventReader:
    """Knows the engine's peers, venues and rules by their numbers: its lists, which may still grow."""

    def __cinit__(self, list peers not None, list venues not None, list rules not None, WatchTable watch not None):
        self._peers = peers
        self._venues = venues
        self._rules = rules
        self.watch = watch
        self._tables = {}

    cdef int use(self, int number, WatchTable watch) except -1:
        """From the event with this number on, labels are those of `watch`."""
        self._tables[number] = watch
        return 0

    cdef object _read_watch(self, const hft_event *c):
        self.watch = self._tables[c.watch]
        for number in list(self._tables):
            if number < c.watch:
                del self._tables[number]
        return WatchEvent(c.time_ns, len(self.watch), len(self.watch.label_names))

    cdef object _read_link(self, const hft_event *c):
        text = c.text.decode("utf-8", "replace")
        error = make_error(c.code, text, None) if c.code != 0 else None
        state = LINK_STATES[c.state]
        if c.kind == HFT_EVENT_PEER:
            host, port = self._peers[c.peer]
            address = f"{host}:{port}" if host is not None else format_endpoint(*endpoint_of(&c.address))
            return PeerEvent(c.time_ns, c.peer, address, state, "" if error is not None else text,
                             c.protocol_version, error)
        return VenueEvent(c.time_ns, self._venues[c.venue][0].name, state, c.resumed != 0, c.clock_offset_ns,
                          c.round_trip_ns, error)

    cdef object _read_order(self, const hft_event *c):
        cdef int i
        cdef const char *reason = hft_status_name(c.code) if c.code != 0 else NULL
        rule = self._rules[c.rule]
        stages = None
        if ORDER_STATES[c.state] in ("sent", "dry_run"):
            stages = {name: c.stages_ns[i] for i, name in enumerate((*STAGES, "total"))}
        return OrderEvent(
            c.time_ns, ORDER_STATES[c.state], rule.name, rule.venue, c.client_id[:c.client_id_len].decode(),
            display(c.txid), c.amount_sat, rule.order.quantity, c.order_id[:c.order_id_len].decode("utf-8", "replace"),
            c.filled[:c.filled_len].decode("utf-8", "replace"), reason.decode() if reason != NULL else "",
            ERROR_CLASSES[c.error_class] if c.error_class or ORDER_STATES[c.state] == "rejected" else "",
            c.venue_code, c.text.decode("utf-8", "replace"), c.reply_ns, stages,
        )

    cdef object _read_signal(self, const hft_event *c):
        cdef int i
        labels = tuple([self.watch.label_names[c.labels[i]] for i in range(c.n_labels)])
        found = {
            "time_ns": c.time_ns,
            "txid": display(c.txid),
            "wtxid": display(c.wtxid),
            "peer": c.peer,
            "stages": {name: c.stages_ns[i] for i, name in enumerate(STAGES[:3])},
        }
        if c.kind == HFT_EVENT_REPLACEMENT:
            return ReplacementEvent(**found, replaces=display(c.replaced), outpoints=c.outpoints)
        found["amount_sat"] = c.amount_sat
        if c.kind == HFT_EVENT_REVOKED:
            rules = tuple([rule.name for i, rule in enumerate(self._rules) if c.rules >> i & 1])
            return RevokedEvent(**found, replaces=display(c.replaced), label=labels[0], left_sat=c.left_sat,
                                rules=rules)
        found |= {"inputs": c.inputs, "inputs_known": c.inputs_known, "inputs_taproot": c.inputs_taproot}
        if c.kind == HFT_EVENT_WHALE:
            return WhaleEvent(**found, certain=c.inputs_known == c.inputs)
        if c.kind == HFT_EVENT_DEPOSIT:
            return DepositEvent(**found, certain=c.inputs_known == c.inputs, label=labels[0], senders=labels[1:],
                                output=c.output)
        found |= {"certain": c.inputs_own == c.inputs, "inputs_own": c.inputs_own, "label": labels[0]}
        if c.kind == HFT_EVENT_INTERNAL:
            return InternalEvent(**found)
        return WithdrawalEvent(**found, recipients=labels[1:])

    cdef object read(self, const hft_event *c):
        if c.kind == HFT_EVENT_PEER or c.kind == HFT_EVENT_VENUE:
            return self._read_link(c)
        if c.kind == HFT_EVENT_ORDER:
            return self._read_order(c)
        if c.kind == HFT_EVENT_WATCH:
            return self._read_watch(c)
        return self._read_signal(c)


assert HFT_STAGES == len(STAGES)
init_core()
