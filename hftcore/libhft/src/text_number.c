/* Numbers, decimals and times of the text module. */
#include "hft/endian.h"
#include "hft/text.h"

/* 10^scale, and how to divide by it: (value >> scale) * magic >> 64 >> shift, which is exact for every value, because
 * what is left to divide by is 5^scale, and the dividend has 64 - scale bits. Not for 1. */
static const struct {
    uint64_t power, magic;
    unsigned shift;
} pow10[HFT_SCALE_MAX + 1] = {
    {UINT64_C(1), 0, 0},
    {UINT64_C(10), UINT64_C(0x6666666666666667), 1},
    {UINT64_C(100), UINT64_C(0x28f5c28f5c28f5c3), 2},
    {UINT64_C(1000), UINT64_C(0x20c49ba5e353f7cf), 4},
    {UINT64_C(10000), UINT64_C(0x0d1b71758e219653), 5},
    {UINT64_C(100000), UINT64_C(0x0a7c5ac471b47843), 7},
    {UINT64_C(1000000), UINT64_C(0x0218def416bdb1a7), 7},
    {UINT64_C(10000000), UINT64_C(0x00d6bf94d5e57a43), 8},
    {UINT64_C(100000000), UINT64_C(0x00abcc77118461cf), 10},
    {UINT64_C(1000000000), UINT64_C(0x0044b82fa09b5a53), 11},
    {UINT64_C(10000000000), UINT64_C(0x001b7cdfd9d7bdbb), 12},
    {UINT64_C(100000000000), UINT64_C(0x000afebff0bcb24b), 13},
    {UINT64_C(1000000000000), UINT64_C(0x0008cbccc096f509), 15},
    {UINT64_C(10000000000000), UINT64_C(0x000709709a125da1), 17},
    {UINT64_C(100000000000000), UINT64_C(0x0000b424dc35095d), 16},
    {UINT64_C(1000000000000000), UINT64_C(0x00024075f3dceac3), 20},
    {UINT64_C(10000000000000000), UINT64_C(0x0000734aca5f6227), 20},
    {UINT64_C(100000000000000000), UINT64_C(0x00005c3bd5191b53), 22},
    {UINT64_C(1000000000000000000), UINT64_C(0x000049c97747490f), 24},
};

static const char digit_pairs[] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
    "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
    "8081828384858687888990919293949596979899";

enum { NS_PER_S = 1000000000, S_PER_DAY = 86400 };

static int is_digit(char c) { return c >= '0' && c <= '9'; }

/* value / 10^scale without a division. */
static inline uint64_t scaled_down(uint64_t value, unsigned scale) {
    if (scale == 0) return value;
    __extension__ typedef unsigned __int128 wide;
    return (uint64_t)((wide)(value >> scale) * pow10[scale].magic >> 64) >> pow10[scale].shift;
}

/* ---- integers ---- */

/* Exactly 2, 4 or 8 digits. */
static inline void put2(char *out, uint32_t value) { memcpy(out, digit_pairs + 2 * value, 2); }

static inline void put4(char *out, uint32_t value) {
    put2(out, value / 100);
    put2(out + 2, value % 100);
}

static inline void put8(char *out, uint32_t value) {
    put4(out, value / 10000);
    put4(out + 4, value % 10000);
}

/* As few digits as possible of a number below 100, 10^4, 10^8; return how many. What is put into an order has nearly
 * the same number of digits each time, so these branches are foreseen. */
static inline size_t put_up_to2(char *out, uint32_t value) {
    if (value >= 10) {
        put2(out, value);
        return 2;
    }
    *out = (char)('0' + value);
    return 1;
}

static inline size_t put_up_to4(char *out, uint32_t value) {
    if (value < 100) return put_up_to2(out, value);
    size_t len = put_up_to2(out, value / 100);
    put2(out + len, value % 100);
    return len + 2;
}

static inline size_t put_up_to8(char *out, uint32_t value) {
    if (value < 10000) return put_up_to4(out, value);
    size_t len = put_up_to4(out, value / 10000);
    put4(out + len, value % 10000);
    return len + 4;
}

size_t hft_u64_put(char *out, uint64_t value) {
    const uint64_t base = 100000000;
    if (value < base) return put_up_to8(out, (uint32_t)value);
    uint64_t high = value / base;
    size_t len;
    if (high < base) {
        len = put_up_to8(out, (uint32_t)high);
    } else {
        len = put_up_to4(out, (uint32_t)(high / base));
        put8(out + len, (uint32_t)(high % base));
        len += 8;
    }
    put8(out + len, (uint32_t)(value % base));
    return len + 8;
}

void hft_u64_put_fixed(char *out, uint64_t value, unsigned digits) {
    for (; digits >= 8; digits -= 8, value /= 100000000) put8(out + digits - 8, (uint32_t)(value % 100000000));
    uint32_t rest = (uint32_t)(value % 100000000);
    if (digits >= 4) {
        put4(out + digits - 4, rest % 10000);
        rest /= 10000;
        digits -= 4;
    }
    if (digits >= 2) {
        put2(out + digits - 2, rest % 100);
        rest /= 100;
        digits -= 2;
    }
    if (digits != 0) out[0] = (char)('0' + rest % 10);
}

/* Appends a digit to *value. */
static int push_digit(uint64_t *value, char c) {
    if (!is_digit(c)) return HFT_E_TEXT_DIGIT;
    if (__builtin_mul_overflow(*value, UINT64_C(10), value)) return HFT_E_TEXT_OVERFLOW;
    if (__builtin_add_overflow(*value, (uint64_t)(c - '0'), value)) return HFT_E_TEXT_OVERFLOW;
    return 0;
}

int hft_u64_parse(uint64_t *out, const char *text, size_t len) {
    if (len == 0) return HFT_E_TEXT_LENGTH;
    if (text[0] == '0' && len > 1) return HFT_E_TEXT_DIGIT;
    uint64_t value = 0;
    for (size_t i = 0; i < len; i++) {
        int rc = push_digit(&value, text[i]);
        if (rc < 0) return rc;
    }
    *out = value;
    return 0;
}

/* ---- decimals ---- */

size_t hft_decimal_put(char *out, uint64_t value, unsigned scale, int trim) {
    uint64_t whole = scaled_down(value, scale);
    size_t len = hft_u64_put(out, whole);
    if (scale == 0) return len;
    out[len] = '.';
    hft_u64_put_fixed(out + len + 1, value - whole * pow10[scale].power, scale);
    len += 1 + scale;
    if (!trim) return len;
    while (out[len - 1] == '0') len--;
    return out[len - 1] == '.' ? len - 1 : len;
}

int hft_decimal_parse(uint64_t *out, const char *text, size_t len, unsigned scale) {
    if (len == 0) return HFT_E_TEXT_LENGTH;
    if (text[0] == '0' && len > 1 && text[1] != '.') return HFT_E_TEXT_DIGIT;
    uint64_t value = 0;
    size_t i = 0;
    for (; i < len && text[i] != '.'; i++) {
        int rc = push_digit(&value, text[i]);
        if (rc < 0) return rc;
    }
    if (i == 0 || i + 1 == len) return HFT_E_TEXT_DIGIT; /* a bare point */
    unsigned digits = 0; /* behind the point, up to scale */
    for (i++; i < len; i++) {
        if (!is_digit(text[i])) return HFT_E_TEXT_DIGIT;
        if (digits == scale) {
            if (text[i] != '0') return HFT_E_TEXT_PRECISION;
            continue;
        }
        int rc = push_digit(&value, text[i]);
        if (rc < 0) return rc;
        digits++;
    }
    if (__builtin_mul_overflow(value, pow10[scale - digits].power, &value)) return HFT_E_TEXT_OVERFLOW;
    *out = value;
    return 0;
}

/* ---- times ---- */

size_t hft_timestamp_put(hft_timestamp_cache *cache, char *out, uint64_t unix_ns, unsigned scale) {
    uint64_t value = scaled_down(unix_ns, scale), prefix = value / 10000;
    if (cache == NULL || prefix < 10000000) return hft_u64_put(out, value);
    if (cache->prefix != prefix) {
        cache->len = (uint32_t)hft_u64_put(cache->text, prefix);
        cache->prefix = prefix;
    }
    /* 8 to 16 digits: two copies of fixed length, which overlap. */
    size_t len = cache->len;
    uint64_t begin = hft_load_le64(cache->text), end = hft_load_le64(cache->text + len - 8);
    hft_store_le64(out, begin);
    hft_store_le64(out + len - 8, end);
    put4(out + len, (uint32_t)(value - prefix * 10000));
    return len + 4;
}

/* The digits of the date of a day since 1970, by "Euclidean affine functions and their application to calendar
 * algorithms" (Neri and Schneider, 2022): years begin in March, so that the leap day is a year's last; months and days
 * are then linear functions, whose divisions are by powers of two. */
static void put_date(char *out, uint32_t unix_day) {
    const uint32_t days_to_1970 = 719468, days_in_400_years = 146097; /* from 0000-03-01 */
    uint32_t quarter = 4 * (unix_day + days_to_1970) + 3;
    uint32_t century = quarter / days_in_400_years;
    uint64_t in_century = UINT64_C(2939745) * (quarter % days_in_400_years | 3);
    uint32_t year = 100 * century + (uint32_t)(in_century >> 32);
    uint32_t day_of_year = (uint32_t)in_century / 2939745 / 4;
    uint32_t linear = 2141 * day_of_year + 197913;
    uint32_t month = linear >> 16, next_year = day_of_year >= 306; /* January and February */
    put4(out, year + next_year);
    out[4] = '-';
    put2(out + 5, next_year ? month - 12 : month);
    out[7] = '-';
    put2(out + 8, (linear & 0xffff) / 2141 + 1);
}

size_t hft_rfc3339_put(char *out, uint64_t unix_ns, unsigned fraction_digits) {
    uint64_t seconds = unix_ns / NS_PER_S;
    uint32_t day = (uint32_t)(seconds / S_PER_DAY), second = (uint32_t)(seconds % S_PER_DAY);
    put_date(out, day);
    out[10] = 'T';
    put2(out + 11, second / 3600);
    out[13] = ':';
    put2(out + 14, second / 60 % 60);
    out[16] = ':';
    put2(out + 17, second % 60);
    size_t len = 19;
    if (fraction_digits != 0) {
        out[len] = '.';
        hft_u64_put_fixed(out + len + 1, scaled_down(unix_ns % NS_PER_S, 9 - fraction_digits), fraction_digits);
        len += 1 + fraction_digits;
    }
    out[len] = 'Z';
    return len + 1;
}
