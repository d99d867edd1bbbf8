"""WebSocket clients beside each other: round trips, the call that sends, and thousands of connections."""

PAYLOAD = (
    '{"e":"bookTicker","E":1700000000000,"s":"BTCUSDT","u":400900217,"b":"52000.00","B":"1.5","a":"52000.10"}'.ljust(
        200
    )
)
