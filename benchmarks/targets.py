"""What the benchmarks aim at: printed beside the figures, green or red, and told in README.md. Nothing fails on it."""

from __future__ import annotations

PICOWS = "picows, Cython listener, uvloop spinning"  # its best
PICOWS_PYTHON = "picows, Python listener, uvloop spinning"
PICOWS_DEFAULT = "picows, Python listener, uvloop"

# Ours / the peer's p50 of the same run, at most: by row and peer.
RATIOS = {
    "peers_flood": {"alone with the engine": 1.2},
    "btc_parse_wtxid": {"libhft sha256d, alone": 1.3},
    "btc_parse_py": {"python-bitcoinlib CTransaction": 1 / 50},
    "ws_rtt_handler": {"C, busy recv and send": 1.08, PICOWS: 0.93, PICOWS_DEFAULT: 0.40},
    "wss_rtt_handler": {"C and OpenSSL, busy recv and send": 1.08, PICOWS: 0.90, PICOWS_DEFAULT: 0.40},
    "ws_rtt_asyncio": {PICOWS_PYTHON: 1.0},
    "wss_rtt_asyncio": {PICOWS_PYTHON: 1.0},
    "ws_send": {PICOWS: 1.0},
    "wss_send": {PICOWS: 1.0},
    "tick_to_trade_plain": {"raw C busy-poll ping-pong, same sizes": 1.25},
    "tick_to_trade_tls": {"raw C busy-poll ping-pong, same sizes": 1.5},
    "hot_path_compute": {"idiomatic Python, the same job": 1 / 12, "careful Python, the same job": 1 / 3},
    "hmac_150_latency": {"OpenSSL EVP_MAC_CTX reused": 0.65, "OpenSSL SHA256_Transform, saved pads": 1.05},
    "hmac_150_midstate_latency": {"OpenSSL EVP_MAC_CTX reused, all 150 B": 0.45},
    "sha256d_many_80": {"OpenSSL SHA256_Init, Update, Final, twice": 1 / 4},
    "sha256_py_64": {"hashlib.sha256": 1 / 2, "cryptography Hash": 1 / 2},
    "hmac_py_150": {"hmac.digest": 1 / 6, "cryptography HMAC": 1 / 6},
    "sha256d_many_py_80": {"hashlib.sha256, twice, in a list comprehension": 1 / 20},
    "template_render_py": {"byte template, cached midstate, masked frame, pure Python": 1 / 8},
}

# Ours, p50 in ns, on a machine like the one in results/machine.json when it is quiet.
GOALS_NS = {
    "btc_parse_match": 20.0,
    "hmac_150_midstate_latency": 75.0,
    "sha256d_many_80": 24.0,  # with AVX-512
    "template_fill_sign_frame": 250.0,
    "watch_probe_miss_10m": 20.0,
    "ws_build_200": 20.0,
    "ws_parse_200": 20.0,
    "ws_build_py_200": 60.0,
}
