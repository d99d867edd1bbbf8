"""Parts of the engine without sockets, beside OpenSSL and Python."""
