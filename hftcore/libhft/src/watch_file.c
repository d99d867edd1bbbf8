/* The watch table as a file: its header, and what is checked before a lookup may trust it. */
#include <string.h>

#include "hft/endian.h"
#include "hft/sha256.h"
#include "watch_internal.h"

static const char magic[8] = {'h', 'f', 't', 'w', 'a', 't', 'c', 'h'};

typedef struct {
    char magic[8];
    uint32_t version;
    uint32_t n_buckets, n_entries, n_labels;
    uint64_t names_len;
    uint64_t long_lens;
    uint64_t key[HFT_WATCH_KEY_WORDS];
    char network[16];          /* zeros behind it */
    uint8_t body_digest[32];   /* SHA-256 of all that follows the header */
    uint8_t unused[72];        /* zero */
    uint8_t header_digest[32]; /* SHA-256 of all in front of it */
} header;

_Static_assert(sizeof(header) == HFT_WATCH_HEADER_LEN, "the header has no padding");

const void *hft_watch_index(const hft_watch *watch, size_t *len) {
    *len = watch->n_buckets * sizeof *watch->buckets;
    return watch->buckets;
}

const void *hft_watch_records(const hft_watch *watch, size_t *len) {
    *len = watch->n_entries * sizeof *watch->entries;
    return watch->entries;
}

static void seal(uint8_t digest[32], const header *h) {
    hft_sha256_digest(digest, h, offsetof(header, header_digest));
}

int hft_watch_put_header(uint8_t out[HFT_WATCH_HEADER_LEN], const hft_watch *watch, const char *network,
                         const uint8_t *names, size_t names_len) {
    header h = {.version = HFT_WATCH_VERSION, .n_buckets = watch->n_buckets, .n_entries = watch->n_entries,
                .n_labels = watch->n_labels, .names_len = names_len, .long_lens = watch->long_lens};
    size_t network_len = 0, len;
    while (network[network_len] != '\0')
        if (++network_len == sizeof h.network) return HFT_E_ARGUMENT;
    memcpy(h.magic, magic, sizeof magic);
    memcpy(h.key, watch->key, sizeof h.key);
    memcpy(h.network, network, network_len);
    hft_sha256 digest;
    hft_sha256_init(&digest);
    const void *part = hft_watch_index(watch, &len);
    hft_sha256_update(&digest, part, len);
    part = hft_watch_records(watch, &len);
    hft_sha256_update(&digest, part, len);
    hft_sha256_update(&digest, names, names_len);
    hft_sha256_final(&digest, h.body_digest);
    seal(h.header_digest, &h);
    memcpy(out, &h, sizeof h);
    return 0;
}

int hft_watch_attach(hft_watch *watch, hft_watch_file *file, const void *data, size_t len, hft_err *err) {
    header h;
    uint8_t digest[32];
    if (data == NULL || ((uintptr_t)data & 63) != 0) return hft_fail(err, HFT_E_ARGUMENT, 0, "alignment");
    if (len < sizeof magic || memcmp(data, magic, sizeof magic) != 0)
        return hft_fail(err, HFT_E_WATCH_FORMAT, 0, "it does not begin as one");
    if (len < sizeof h) return hft_fail(err, HFT_E_WATCH_DAMAGED, len, "it ends within its header");
    memcpy(&h, data, sizeof h);
    if (h.version != HFT_WATCH_VERSION)
        return hft_fail(err, HFT_E_WATCH_FORMAT, offsetof(header, version), "another version: build it anew");
    seal(digest, &h);
    if (memcmp(digest, h.header_digest, sizeof digest) != 0)
        return hft_fail(err, HFT_E_WATCH_DAMAGED, 0, "the checksum of its header is wrong");
    /* From here on it is what somebody wrote on purpose, which may still be nonsense. */
    if (h.n_entries > HFT_WATCH_CAP_MAX || h.n_buckets == 0 ||
        h.n_buckets > hft_watch_bucket_count(HFT_WATCH_CAP_MAX) || h.n_labels > HFT_WATCH_LABEL_MAX + 1 ||
        memchr(h.network, '\0', sizeof h.network) == NULL)
        return hft_fail(err, HFT_E_WATCH_DAMAGED, 0, "its header contradicts itself");
    size_t index_len = h.n_buckets * sizeof(hft_watch_bucket), records_len = h.n_entries * sizeof(hft_watch_entry);
    size_t left = len - sizeof h;
    if (left < index_len || left - index_len < records_len || left - index_len - records_len != h.names_len)
        return hft_fail(err, HFT_E_WATCH_DAMAGED, len, "it is shorter or longer than its header says");
    memset(watch, 0, sizeof *watch);
    /* Nothing writes to a table without capacity. */
    watch->buckets = (hft_watch_bucket *)((uintptr_t)data + sizeof h);
    watch->entries = (hft_watch_entry *)(watch->buckets + h.n_buckets);
    watch->n_buckets = h.n_buckets;
    watch->n_entries = h.n_entries;
    watch->n_labels = h.n_labels;
    watch->long_lens = h.long_lens;
    memcpy(watch->key, h.key, sizeof h.key);
    file->names = (const uint8_t *)(watch->entries + h.n_entries);
    file->names_len = h.names_len;
    memcpy(file->network, h.network, sizeof h.network);
    return 0;
}

int hft_watch_verify(const void *data, size_t len) {
    header h;
    uint8_t digest[32];
    if (len < sizeof h) return HFT_E_WATCH_DAMAGED;
    memcpy(&h, data, sizeof h);
    hft_sha256_digest(digest, (const uint8_t *)data + sizeof h, len - sizeof h);
    return memcmp(digest, h.body_digest, sizeof digest) == 0 ? 0 : HFT_E_WATCH_DAMAGED;
}
