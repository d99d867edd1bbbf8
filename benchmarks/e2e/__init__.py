"""From outside: a harness in C is the Bitcoin peer and the exchange, and times the engine between them."""
