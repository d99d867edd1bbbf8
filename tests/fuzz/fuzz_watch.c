/* Table files: whatever one holds, it is refused, or looking things up in it stays within it and ends. */
#include <stdlib.h>
#include <string.h>

#include <hft/sha256.h>
#include <hft/watch.h>

#define DIGEST_AT (HFT_WATCH_HEADER_LEN - 32)

static void look_up(const hft_watch *watch, const uint8_t *script, size_t len) {
    uint32_t entry = UINT32_MAX, entries[2];
    int64_t label = hft_watch_find(watch, script, len, &entry), labels[2];
    if (label >= (int64_t)watch->n_labels || (label >= 0) != (entry < watch->n_entries)) abort();
    const uint8_t *scripts[2] = {script, script + len / 2};
    const size_t lens[2] = {len, len - len / 2};
    hft_watch_find_many(watch, labels, entries, scripts, lens, 2);
    if (labels[0] != label || (label >= 0 && entries[0] != entry)) abort();
    if (label >= 0) (void)hft_watch_origin(watch, entry);
}

/* Whatever can be copied is found in the copy as often as the original has it. */
static void copy(const hft_watch *watch) {
    if (watch->n_entries == 0) return;
    hft_watch twin;
    void *memory = aligned_alloc(64, hft_watch_size(watch->n_entries));
    if (memory == NULL || hft_watch_init(&twin, memory, watch->n_entries, watch->key) != 0) abort();
    if (hft_watch_copy(&twin, watch) == 0 && twin.n_entries != watch->n_entries) abort();
    free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    void *memory = NULL;
    if (posix_memalign(&memory, 64, size != 0 ? size : 1) != 0) abort();
    uint8_t *file = memory;
    if (size != 0) memcpy(file, data, size);
    /* A fuzzer does not guess checksums: every second input gets the right one. */
    if (size >= HFT_WATCH_HEADER_LEN && (data[DIGEST_AT] & 1) != 0)
        hft_sha256_digest(file + DIGEST_AT, file, DIGEST_AT);
    hft_watch watch;
    hft_watch_file names;
    hft_err err = {0};
    int rc = hft_watch_attach(&watch, &names, file, size, &err);
    if (rc == 0) {
        size_t index_len, records_len;
        const uint8_t *index = hft_watch_index(&watch, &index_len), *records = hft_watch_records(&watch, &records_len);
        if (index != file + HFT_WATCH_HEADER_LEN || records != index + index_len) abort();
        if (names.names != records + records_len || names.names + names.names_len != file + size) abort();
        for (size_t at = 0; at < size; at += 40) {
            size_t left = size - at, len = data[at] % 64;
            look_up(&watch, data + at, len < left ? len : left);
        }
        for (size_t at = 0; at + 40 <= records_len; at += 40) look_up(&watch, records + at, records[at + 34] % 35);
        copy(&watch);
        (void)!hft_watch_verify(file, size);
    } else if ((rc != HFT_E_WATCH_FORMAT && rc != HFT_E_WATCH_DAMAGED) || err.text[0] == '\0') {
        abort();
    }
    free(file);
    return 0;
}
