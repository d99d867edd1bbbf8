"""What the engine knows of its peers, for Python; addresses on their way into the reactor."""

import socket

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint16_t, uint32_t

from hftcore._status cimport init_core
from hftcore.libhft.engine cimport (
    HFT_ENGINE_ADDRESSES_MAX,
    hft_address,
    hft_engine_addresses,
    hft_engine_node,
    hft_engine_peer_info,
)

from hftcore.endpoints import format_endpoint
from hftcore.peers import PeerInfo

cdef extern from *:
    """
    #include <arpa/inet.h>
    #include "hft/conn.h"
    static void hft_address_set(hft_address *a, int family, const char *packed, uint32_t scope, uint16_t port) {
        memset(a, 0, sizeof *a);
        a->any.sa_family = (sa_family_t)family;
        if (family == AF_INET6) {
            memcpy(&a->v6.sin6_addr, packed, 16);
            a->v6.sin6_port = htons(port);
            a->v6.sin6_scope_id = scope;
        } else {
            memcpy(&a->v4.sin_addr, packed, 4);
            a->v4.sin_port = htons(port);
        }
    }
    static uint16_t hft_address_text(char out[64], const hft_address *a) {
        out[0] = '\\0';
        int is_v6 = a->any.sa_family == AF_INET6;
        if (a->any.sa_family != AF_INET6 && a->any.sa_family != AF_INET) return 0;
        inet_ntop(a->any.sa_family, is_v6 ? (const void *)&a->v6.sin6_addr : &a->v4.sin_addr, out, 64);
        return ntohs(is_v6 ? a->v6.sin6_port : a->v4.sin_port);
    }
    """
    void hft_address_set(hft_address *a, int family, const char *packed, uint32_t scope, uint16_t port) nogil
    uint16_t hft_address_text(char *out, const hft_address *a) nogil

# In the orders of hft_peer_role and hft_slot_state.
ROLES = ("fixed", "managed", "inbound")
STATES = ("idle", "connecting", "ready")


cdef tuple endpoint_of(const hft_address *address):
    """Host and port, ("", 0) where there is none."""
    cdef char text[64]
    cdef uint16_t port = hft_address_text(text, address)
    return text.decode(), port


cdef object peer_info(unsigned int i, const hft_engine_peer_info *c, tuple fixed):
    host, port = endpoint_of(&c.address)
    return PeerInfo(
        peer=i, address=format_endpoint(*(fixed if fixed[0] else (host, port))), ip=host, role=ROLES[c.role],
        state=STATES[c.state], session=c.serial, user_agent=c.user_agent.decode("ascii", "replace"),
        protocol_version=c.version, services=c.services, start_height=c.start_height, wtxid_relay=c.wtxid_relay != 0,
        fee_filter=c.fee_filter, ready_ns=c.ready_for_ns, ping_ns=c.ping_ns, ping_min_ns=c.ping_min_ns,
        transactions=c.transactions, announced=c.counters.announced, first=c.counters.first, late=c.counters.late,
        late_ms=c.counters.late_ms, merit=c.counters.merit, served=c.counters.served,
        unanswered=c.counters.unanswered, in_flight=c.in_flight, addresses=c.counters.addresses, bytes_in=c.bytes_in,
        bytes_out=c.bytes_out, code=c.code,
    )


cdef tuple read_node(const hft_engine_node *c):
    family = socket.AF_INET if c.address_len == 4 else socket.AF_INET6
    packed = PyBytes_FromStringAndSize(<const char *>c.address, c.address_len)
    return int(family), packed, c.port, c.services, c.time, c.peer


cdef int fill_addresses(hft_engine_addresses *command, list found) except -1:
    for family, packed, scope, port, group in found[:HFT_ENGINE_ADDRESSES_MAX]:
        hft_address_set(&command.addresses[command.n_addresses], family, PyBytes_AS_STRING(packed), scope, port)
        command.groups[command.n_addresses] = group
        command.n_addresses += 1
    return 0


init_core()
