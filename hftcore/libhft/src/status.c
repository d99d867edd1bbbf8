#include "hft/status.h"

static const struct {
    int code;
    const char *name, *text;
} table[] = {
#define ENTRY(name, value, text) {value, #name, text},
    HFT_STATUS_LIST(ENTRY)
#undef ENTRY
};

static const size_t table_len = sizeof table / sizeof table[0];

const char *hft_status_name(int code) {
    if (code >= 0) return "OK";
    if (code >= -4095) return "ERRNO";
    for (size_t i = 0; i < table_len; i++)
        if (table[i].code == code) return table[i].name;
    return NULL;
}

const char *hft_status_text(int code) {
    for (size_t i = 0; i < table_len; i++)
        if (table[i].code == code) return table[i].text;
    return "";
}

int hft_status_at(size_t i) { return i < table_len ? table[i].code : 0; }

int hft_fail(hft_err *err, int code, size_t pos, const char *text) {
    if (err == NULL) return code;
    err->code = code;
    err->pos = (uint32_t)pos;
    size_t len = 0;
    for (; text != NULL && text[len] != '\0' && len < sizeof err->text - 1; len++) err->text[len] = text[len];
    err->text[len] = '\0';
    return code;
}
