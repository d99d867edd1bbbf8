"""The options of a connection, as the C core takes them."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport UINT64_MAX, uint8_t, uint64_t
from libc.string cimport memset

from hftcore._status cimport init_core
from hftcore.libhft.deflate cimport hft_deflate_params
from hftcore.libhft.reactor cimport hft_link_config_ws
from hftcore.libhft.ws cimport HFT_WS_OP_BINARY, HFT_WS_OP_TEXT
from hftcore.orders cimport OrderTemplate
from hftcore.tls cimport TLSContext

from hftcore.tls import default_context


cdef uint64_t nanoseconds(double value) noexcept:
    return <uint64_t>value if value < 9e18 else UINT64_MAX


cdef bytes deflate_params(offer):
    """The hft_deflate_params of an offer, or None."""
    cdef hft_deflate_params params
    if offer is None:
        return None
    params.client_no_context_takeover = offer.client_no_context_takeover
    params.server_no_context_takeover = offer.server_no_context_takeover
    params.client_max_window_bits = offer.client_max_window_bits or 0
    params.server_max_window_bits = offer.server_max_window_bits or 0
    return PyBytes_FromStringAndSize(<const char *>&params, sizeof(params))


cdef tuple fill_app_ping(hft_link_config_ws *config, app_ping):
    cdef bytes ping = app_ping.data or b"", pong = app_ping.reply_data
    if not ping:
        config.app_ping = &(<OrderTemplate?>app_ping.message).t
    config.app_ping_op = HFT_WS_OP_TEXT if app_ping.is_text else HFT_WS_OP_BINARY
    config.app_ping_data = <const uint8_t *>PyBytes_AS_STRING(ping)
    config.app_ping_len = <size_t>len(ping)
    config.app_ping_interval_ns = nanoseconds(app_ping.interval_s * 1e9)
    config.app_pong = <const uint8_t *>PyBytes_AS_STRING(pong)
    config.app_pong_len = <size_t>len(pong)
    config.app_pong_hidden = app_ping.hide
    return app_ping, ping, pong


cdef tuple fill_link_config(hft_link_config_ws *config, request, endpoint, double timeout_s):
    cdef bytes host = endpoint.host.encode(), host_header = endpoint.host_header.encode()
    cdef bytes target = endpoint.target.encode(), headers = request.header_lines(endpoint)
    cdef bytes subprotocols = request.subprotocol_list, deflate = deflate_params(request.compression)
    memset(config, 0, sizeof(config[0]))
    if endpoint.tls:
        tls = request.tls if request.tls is not None else default_context()
        config.tls = (<TLSContext?>tls).context
    config.host = PyBytes_AS_STRING(host)
    config.port = endpoint.port
    config.host_header = PyBytes_AS_STRING(host_header)
    config.target = PyBytes_AS_STRING(target)
    config.headers = PyBytes_AS_STRING(headers)
    config.subprotocols = PyBytes_AS_STRING(subprotocols)
    if deflate is not None:
        config.deflate = <const hft_deflate_params *>PyBytes_AS_STRING(deflate)
        config.deflate_level = request.compression.level
        config.deflate_min = request.compression.min_size
    config.message_max = request.max_message
    config.recv_cap = request.recv_queue
    config.send_cap = request.send_queue
    config.handshake_ns = nanoseconds(timeout_s * 1e9)
    config.ping_interval_ns = nanoseconds(request.ping_interval_s * 1e9)
    config.ping_timeout_ns = nanoseconds(request.ping_timeout_s * 1e9)
    config.close_ns = nanoseconds(request.close_timeout_s * 1e9)
    config.kernel_stamps = request.kernel_timestamps
    ping = fill_app_ping(config, request.app_ping) if request.app_ping is not None else None
    return host, host_header, target, headers, subprotocols, deflate, ping


init_core()
