from libc.stdint cimport uint8_t, uint32_t

from hftcore.libhft.status cimport hft_err


cdef extern from "hft/json.h" nogil:
    enum:
        HFT_JSON_DEPTH_MAX
        HFT_JSON_PATH_KEYS
        HFT_JSON_KEY_MAX
        HFT_JSON_PATHS_MAX

    ctypedef enum hft_json_type:
        HFT_JSON_ABSENT
        HFT_JSON_NULL
        HFT_JSON_TRUE
        HFT_JSON_FALSE
        HFT_JSON_NUMBER
        HFT_JSON_STRING
        HFT_JSON_OBJECT
        HFT_JSON_ARRAY

    ctypedef struct hft_json_value:
        const char *ptr
        uint32_t len
        uint8_t type
        uint8_t escaped

    ctypedef struct hft_json_path:
        uint8_t n_keys

    int hft_json_path_init(hft_json_path *path, const char *text, size_t len)
    int hft_json_extract(hft_json_value *values, const hft_json_path *paths, size_t n_paths,
                         const char *text, size_t len, hft_err *err)
    int hft_json_equals(const hft_json_value *value, const char *text, size_t len)
