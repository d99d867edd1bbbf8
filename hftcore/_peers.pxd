from hftcore.libhft.engine cimport hft_address, hft_engine_addresses, hft_engine_node, hft_engine_peer_info

# PeerInfo of peer i; fixed: its (host, port), or (None, 0).
cdef object peer_info(unsigned int i, const hft_engine_peer_info *c, tuple fixed)
# Host and port; ("", 0) where there is none.
cdef tuple endpoint_of(const hft_address *address)
# An address that a peer told: (family, packed, port, services, time, peer).
cdef tuple read_node(const hft_engine_node *c)
# found: (family, packed, scope, port, group) each; group 0 = by the address.
cdef int fill_addresses(hft_engine_addresses *command, list found) except -1
