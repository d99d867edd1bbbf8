"""A venue's data on its way into the engine."""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.string cimport memcpy

from hftcore._status cimport check, init_core
from hftcore.libhft.engine cimport (
    HFT_ENGINE_ERRORS_MAX,
    HFT_ENGINE_STATES_MAX,
    HFT_REPLY_PATHS,
    hft_venue_config,
)
from hftcore.libhft.json cimport hft_json_path_init

from hftcore._events import ERROR_CLASSES, ORDER_STATES
from hftcore.errors import ConfigError

MS = 1_000_000
# In the order of HFT_REPLY_*.
REPLY_FIELDS = (
    "id", "status", "error_code", "error_message", "order_id", "order_status", "filled", "server_time", "retry_after",
    "event_type", "event_client_id", "event_original_id", "event_order_id", "event_order_status", "event_filled",
)


cdef int put_text(char *out, size_t cap, str text, str what) except -1:
    encoded = text.encode()
    if <size_t>len(encoded) >= cap or b"\0" in encoded:
        raise ConfigError(f"{what} {text!r}: too long")
    memcpy(out, PyBytes_AS_STRING(encoded), len(encoded) + 1)
    return 0


cdef int fill_venue(hft_venue_config *config, object venue) except -1:
    cdef bytes path
    for i, name in enumerate(REPLY_FIELDS):
        path = getattr(venue.replies, name).encode()
        if path:
            check(hft_json_path_init(&config.replies[i], PyBytes_AS_STRING(path), len(path)), name)
    if len(venue.order_states) > HFT_ENGINE_STATES_MAX or len(venue.errors) > HFT_ENGINE_ERRORS_MAX:
        raise ConfigError(f"venue {venue.name}: more than {HFT_ENGINE_STATES_MAX} order states or "
                          f"{HFT_ENGINE_ERRORS_MAX} error rules")
    for name, state in venue.order_states.items():
        put_text(config.states[config.n_states].name, 32, name, "order state")
        config.states[config.n_states].state = ORDER_STATES.index(state)
        config.n_states += 1
    for rule in venue.errors:
        put_text(config.errors[config.n_errors].text, 64, rule.text, "error text")
        config.errors[config.n_errors].code = rule.code
        config.errors[config.n_errors].error_class = ERROR_CLASSES.index(str(rule.error_class))
        config.n_errors += 1
    put_text(config.order_event, 32, venue.order_event, "order event")
    put_text(config.shutdown_event, 32, venue.shutdown_event, "shutdown event")
    put_text(config.stream_end_event, 32, venue.stream_end_event, "stream end event")
    config.open_outcome_status = venue.open_outcome_status
    config.server_time_unit_ns = MS
    config.placement_max_ns = venue.placement_max_ms * MS
    return 0


assert HFT_REPLY_PATHS == len(REPLY_FIELDS)
init_core()
