"""Binance spot, over its WebSocket API (wss://ws-api.binance.com), with HMAC keys.

Source: binance-spot-api-docs, ``web-socket-api.md`` (requests, signing, user data), ``errors.md``.
What is signed: every parameter but the signature, sorted by name, ``name=value`` joined by ``&``, not percent-encoded.
Responses are asked for as ACK, the shortest; fills arrive as executionReport events.
"""

from hftcore.venues import ErrorClass, ErrorRule, ReplyPaths, Slot, Template, Venue

# The server accepts 36 of [a-zA-Z0-9-_]; a query's request id is two longer than the client id it asks for.
CLIENT_ID_MAX = 34

TIMESTAMP = Slot("timestamp", scale=6)
SIGNATURE = Slot("signature_hex")
ORDER_SLOTS = {
    "client_id": Slot("text", max_len=CLIENT_ID_MAX),
    "quantity": Slot("decimal", scale=8),
    "timestamp": TIMESTAMP,
    "signature": SIGNATURE,
}

MARKET = Template(
    message=(
        '{"id":"${client_id}","method":"order.place","params":{"apiKey":"${api_key}","newClientOrderId":"${client_id}",'
        '"newOrderRespType":"ACK","quantity":"${quantity}","recvWindow":${recv_window},"side":"${side}",'
        '"symbol":"${symbol}","timestamp":${timestamp},"type":"${type}","signature":"${signature}"}}'
    ),
    signed=(
        "apiKey=${api_key}&newClientOrderId=${client_id}&newOrderRespType=ACK&quantity=${quantity}"
        "&recvWindow=${recv_window}&side=${side}&symbol=${symbol}&timestamp=${timestamp}&type=${type}"
    ),
    slots=ORDER_SLOTS,
)

LIMIT = Template(
    message=(
        '{"id":"${client_id}","method":"order.place","params":{"apiKey":"${api_key}","newClientOrderId":"${client_id}",'
        '"newOrderRespType":"ACK","price":"${price}","quantity":"${quantity}","recvWindow":${recv_window},'
        '"side":"${side}","symbol":"${symbol}","timeInForce":"${time_in_force}","timestamp":${timestamp},'
        '"type":"${type}","signature":"${signature}"}}'
    ),
    signed=(
        "apiKey=${api_key}&newClientOrderId=${client_id}&newOrderRespType=ACK&price=${price}&quantity=${quantity}"
        "&recvWindow=${recv_window}&side=${side}&symbol=${symbol}&timeInForce=${time_in_force}&timestamp=${timestamp}"
        "&type=${type}"
    ),
    slots=ORDER_SLOTS,
)

ORDER_QUERY = Template(
    message=(
        '{"id":"q-${client_id}","method":"order.status","params":{"apiKey":"${api_key}",'
        '"origClientOrderId":"${client_id}","recvWindow":${recv_window},"symbol":"${symbol}","timestamp":${timestamp},'
        '"signature":"${signature}"}}'
    ),
    signed=(
        "apiKey=${api_key}&origClientOrderId=${client_id}&recvWindow=${recv_window}&symbol=${symbol}"
        "&timestamp=${timestamp}"
    ),
    slots={"client_id": ORDER_SLOTS["client_id"], "timestamp": TIMESTAMP, "signature": SIGNATURE},
)

SERVER_TIME = Template('{"id":"time","method":"time"}')

USER_STREAM = Template(
    message=(
        '{"id":"user","method":"userDataStream.subscribe.signature","params":{"apiKey":"${api_key}",'
        '"timestamp":${timestamp},"signature":"${signature}"}}'
    ),
    signed="apiKey=${api_key}&timestamp=${timestamp}",
    slots={"timestamp": TIMESTAMP, "signature": SIGNATURE},
)

BINANCE = Venue(
    name="binance",
    url="wss://ws-api.binance.com:443/ws-api/v3",
    testnet_url="wss://ws-api.testnet.binance.vision/ws-api/v3",
    constants={"recv_window": "5000"},  # ms; at most 60000
    orders={"MARKET": MARKET, "LIMIT": LIMIT},
    order_query=ORDER_QUERY,
    server_time=SERVER_TIME,
    user_stream=USER_STREAM,
    replies=ReplyPaths(
        id="id",
        status="status",
        error_code="error.code",
        error_message="error.msg",
        retry_after="error.data.retryAfter",
        order_id="result.orderId",
        order_status="result.status",
        filled="result.executedQty",
        server_time="result.serverTime",
        event_type="event.e",
        event_client_id="event.c",
        event_original_id="event.C",
        event_order_id="event.i",
        event_order_status="event.X",
        event_filled="event.z",
    ),
    order_states={
        "NEW": "acknowledged",
        "PENDING_NEW": "acknowledged",
        "PARTIALLY_FILLED": "partially_filled",
        "FILLED": "filled",
        "CANCELED": "canceled",
        "EXPIRED": "canceled",
        "EXPIRED_IN_MATCH": "canceled",
        "REJECTED": "rejected",
    },
    errors=(
        ErrorRule(-1021, ErrorClass.CLOCK),
        ErrorRule(-1002, ErrorClass.AUTH),
        ErrorRule(-1022, ErrorClass.AUTH),
        ErrorRule(-2014, ErrorClass.AUTH),
        ErrorRule(-2015, ErrorClass.AUTH),
        ErrorRule(-1003, ErrorClass.RATE_LIMIT),
        ErrorRule(-1015, ErrorClass.ORDER_LIMIT),
        ErrorRule(-1013, ErrorClass.ORDER_LIMIT, "MAX_NUM_"),
        ErrorRule(-1013, ErrorClass.FILTER),
        ErrorRule(-1111, ErrorClass.FILTER),
        ErrorRule(-2010, ErrorClass.DUPLICATE, "Duplicate order sent"),
        ErrorRule(-2010, ErrorClass.FUNDS, "insufficient balance"),
        ErrorRule(-2010, ErrorClass.WOULD_CROSS, "immediately match and take"),
        ErrorRule(-2010, ErrorClass.HALTED, "Market is closed"),
        ErrorRule(-1016, ErrorClass.HALTED),
        ErrorRule(-2011, ErrorClass.UNKNOWN_ORDER, "Unknown order sent"),
        ErrorRule(-2013, ErrorClass.UNKNOWN_ORDER),
        ErrorRule(-1006, ErrorClass.OUTCOME_UNKNOWN),
        ErrorRule(-1007, ErrorClass.OUTCOME_UNKNOWN),
    ),
    open_outcome_status=500,
    placement_max_ms=15_000,  # receive window 5 s, matching time-out 10 s
    presign_window_ms=2_500,  # half of the receive window
    order_event="executionReport",
    shutdown_event="serverShutdown",
    stream_end_event="eventStreamTerminated",
    quantity_scale=8,
    client_id_max=CLIENT_ID_MAX,
)
