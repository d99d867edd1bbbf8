/* Numbers, times, hex, base64, JSON strings and UTF-8: strict in, exact out. Pure. No NUL is written; lengths are in
 * bytes. Functions that write say how much at most; those that parse refuse anything but the whole of a valid text. */
#ifndef HFT_TEXT_H
#define HFT_TEXT_H

#include "hft/status.h"

#define HFT_U64_DIGITS_MAX 20
#define HFT_DECIMAL_LEN_MAX 41 /* 20 digits or more zeros, and the point */
#define HFT_SCALE_MAX 18
#define HFT_RFC3339_LEN_MAX 30 /* 2021-02-21T06:16:16.532000000Z */
#define HFT_JSON_ESCAPE_MAX 6  /* the most one byte becomes: \u001f */

/* 2 * len lower-case digits. */
void hft_hex_encode(char *out, const void *data, size_t len);
/* len must be even; either case. Errors: HFT_E_TEXT_LENGTH, HFT_E_TEXT_DIGIT. Returns the bytes written. */
HFT_NODISCARD int hft_hex_decode(uint8_t *out, const char *text, size_t len);

/* RFC 4648 section 4, with padding: 4 * ceil(len / 3) characters. Returns the characters written. */
size_t hft_base64_encode(char *out, const void *data, size_t len);
/* Strict: padded, no white space, zero trailing bits. Returns how many bytes were written,
 * which is 3 * len / 4 less what is padded; never writes more, even when it fails. */
HFT_NODISCARD int hft_base64_decode(uint8_t *out, const char *text, size_t len);

/* Shortest decimal form, 1..20 digits; returns the length. */
size_t hft_u64_put(char *out, uint64_t value);
/* Exactly `digits` (1..20) digits, zeros in front; the value must fit. */
void hft_u64_put_fixed(char *out, uint64_t value, unsigned digits);
/* Digits only, no sign, no leading zero unless the number is "0". Errors: HFT_E_TEXT_LENGTH/DIGIT/OVERFLOW. */
HFT_NODISCARD int hft_u64_parse(uint64_t *out, const char *text, size_t len);

/* value / 10^scale as plain decimal text, e.g. (150, 2) -> "1.50", trimmed "1.5"; scale <= HFT_SCALE_MAX.
 * Returns the length, at most HFT_DECIMAL_LEN_MAX. */
size_t hft_decimal_put(char *out, uint64_t value, unsigned scale, int trim);
/* "12", "12.5", "0.00000001" -> value * 10^scale. No sign, exponent, bare point or leading zeros.
 * Trailing zeros beyond the scale are accepted, other digits there are HFT_E_TEXT_PRECISION. */
HFT_NODISCARD int hft_decimal_parse(uint64_t *out, const char *text, size_t len, unsigned scale);

/* The last timestamp's digits but four, for the next one. Zero-initialised = empty; one for each clock that is read. */
typedef struct {
    uint64_t prefix;
    uint32_t len;
    char text[HFT_U64_DIGITS_MAX];
} hft_timestamp_cache;

/* Unix time, given in nanoseconds, in units of 10^scale ns, rounded down: 6 = ms, 3 = us, 0 = ns (scale <=
 * HFT_SCALE_MAX). With a cache (else NULL) only the last four digits are made anew while the others stay.
 * Returns the length, at most HFT_U64_DIGITS_MAX. */
size_t hft_timestamp_put(hft_timestamp_cache *cache, char *out, uint64_t unix_ns, unsigned scale);
/* RFC 3339 in UTC, e.g. "2021-02-21T06:16:16.532Z"; fraction_digits 0 to 9, rounded down, 0 = no point. Any
 * uint64_t of nanoseconds is a time, up to the year 2554. Leap seconds are not counted, as in Unix time.
 * Returns the length, at most HFT_RFC3339_LEN_MAX. */
size_t hft_rfc3339_put(char *out, uint64_t unix_ns, unsigned fraction_digits);

/* What stands between the quotes of a JSON string (RFC 8259 section 7) for UTF-8 text: \" \\ \b \f \n \r \t, \u00xx
 * for other control characters, the rest as it is. Writes at most HFT_JSON_ESCAPE_MAX * len bytes, which must not
 * overlap the text; returns how many. Errors: HFT_E_TEXT_UTF8, HFT_E_CAPACITY (cap, or 2 GiB). */
HFT_NODISCARD int hft_json_escape(char *out, size_t cap, const char *text, size_t len);

/* A set of ASCII characters: bit c >> 4 of byte c & 15 stands for c. */
typedef struct { uint8_t bits[16]; } hft_charset;
static inline int hft_charset_has(const hft_charset *set, uint8_t c) {
    return set->bits[c & 15] >> (c >> 4) & 1; /* beyond ASCII the shift leaves nothing */
}
/* 1 if every byte of the text is in the set. */
int hft_charset_has_all(const hft_charset *set, const char *text, size_t len);

/* 1 if data is valid UTF-8 (RFC 3629: no surrogates, no overlong forms), else 0. */
int hft_utf8_valid(const void *data, size_t len);

/* UTF-8 that comes in pieces. Zero-initialised = at the beginning. */
typedef struct {
    uint8_t due;       /* continuation bytes that the sequence at the end still lacks: 0 = the text may end here */
    uint8_t low, high; /* what the next of them may be */
} hft_utf8_stream;
/* Takes the next piece, however a sequence was cut. Returns len, or the index of the first byte that no valid text has
 * there; the stream is of no use then. */
size_t hft_utf8_feed(hft_utf8_stream *stream, const void *data, size_t len);

#endif
