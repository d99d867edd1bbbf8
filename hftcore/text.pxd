# Texts of what C holds, each written into its str at once.
cdef str hex_text(const void *data, size_t size)
cdef str base64_text(const void *data, size_t size)
