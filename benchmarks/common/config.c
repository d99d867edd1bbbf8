#include "config.h"

#include "bench.h"

static char config_text[16384];

const char *config_get(const char *key) {
    size_t len = strlen(key);
    for (const char *line = config_text; *line != '\0'; line += strlen(line) + 1)
        if (strncmp(line, key, len) == 0 && line[len] == '\t') return line + len + 1;
    die("no %s in the configuration", key);
}

void config_read(const char *path) {
    FILE *file = fopen(path, "r");
    size_t len = file != NULL ? fread(config_text, 1, sizeof config_text - 2, file) : 0;
    if (len == 0) die("%s: %s", path, strerror(errno));
    fclose(file);
    for (size_t i = 0; i < len; i++)
        if (config_text[i] == '\n') config_text[i] = '\0';
}

static void put_text(hft_order_template *t, hft_order_text *text, const char *source) {
    for (const char *mark; (mark = strstr(source, "${")) != NULL;) {
        const char *end = strchr(mark, '}');
        if (end == NULL || hft_order_put_literal(text, source, (size_t)(mark - source)) < 0 ||
            hft_order_put_slot(t, text, hft_order_find_slot(t, mark + 2, (size_t)(end - mark - 2))) < 0)
            die("template: %s", mark);
        source = end + 1;
    }
    if (hft_order_put_literal(text, source, strlen(source)) < 0) die("template: %s", source);
}

void config_template(hft_order_template *t, const char *name) {
    const hft_order_slot slots[] = {
        {.name = "client_id", .kind = HFT_SLOT_TEXT, .max_len = 34, .allowed = hft_order_plain},
        {.name = "quantity", .kind = HFT_SLOT_DECIMAL, .scale = 8},
        {.name = "timestamp", .kind = HFT_SLOT_TIMESTAMP, .scale = 6},
        {.name = "signature", .kind = HFT_SLOT_SIGNATURE_HEX}};
    char key[64], mark[64];
    snprintf(key, sizeof key, "%s.message", name);
    const char *message = config_get(key);
    snprintf(key, sizeof key, "%s.signed", name);
    const char *signed_text = config_get(key), *secret = config_get("secret");
    hft_order_init(t);
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++) {
        snprintf(mark, sizeof mark, "${%s}", slots[i].name);
        hft_order_slot slot = slots[i];
        slot.of = (uint8_t)t->n_slots; /* a value of its own */
        if (strstr(message, mark) != NULL && hft_order_add_slot(t, &slot) < 0) die("slot %s", slot.name);
    }
    put_text(t, &t->message, message);
    put_text(t, &t->signed_text, signed_text);
    if (hft_order_seal(t, secret, signed_text[0] != '\0' ? strlen(secret) : 0) < 0) die("template %s", name);
}
