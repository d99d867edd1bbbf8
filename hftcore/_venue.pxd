from hftcore.libhft.engine cimport hft_venue_config

# Copies text with its NUL; ConfigError, naming `what`, where it does not fit.
cdef int put_text(char *out, size_t cap, str text, str what) except -1
# Everything but the connection and the requests.
cdef int fill_venue(hft_venue_config *config, object venue) except -1
