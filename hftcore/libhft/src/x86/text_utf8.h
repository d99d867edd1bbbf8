/* Tables for UTF-8 validation by looking up nibbles (the idea of Keiser and Lemire, "Validating UTF-8 in less than one
 * instruction per byte", 2021): what is wrong with a pair of bytes shows in the halves of the first and in the upper
 * half of the second. Each fault is a bit; a pair has it if all three tables say so. */
#ifndef HFT_TEXT_UTF8_H
#define HFT_TEXT_UTF8_H

enum {
    UTF8_CUT = 1,          /* a lead byte, and no continuation */
    UTF8_STRAY = 2,        /* a continuation behind ASCII */
    UTF8_OVERLONG_3 = 4,   /* e0, and 80 to 9f */
    UTF8_HIGH = 8,         /* f4 or more, and 90 to bf: above U+10FFFF */
    UTF8_SURROGATE = 16,   /* ed, and a0 to bf */
    UTF8_OVERLONG_2 = 32,  /* c0 or c1 */
    UTF8_OVERLONG_4 = 64,  /* f0, and 80 to 8f; also f5 or more, which no second byte mends */
    UTF8_TWO = 128,        /* two continuations: right in third and fourth place, which this bit is compared with */
    UTF8_ANY_LOW = UTF8_CUT | UTF8_STRAY | UTF8_TWO,
    UTF8_F5 = UTF8_ANY_LOW | UTF8_HIGH | UTF8_OVERLONG_4,
    UTF8_LEAD_3 = 0xe0,
    UTF8_LEAD_4 = 0xf0,
};

/* By the first byte's upper half: ASCII, continuations, then the leads c, d, e, f. */
#define UTF8_FIRST_HIGH                                                                                                \
    UTF8_STRAY, UTF8_STRAY, UTF8_STRAY, UTF8_STRAY, UTF8_STRAY, UTF8_STRAY, UTF8_STRAY, UTF8_STRAY,                    \
        (char)UTF8_TWO, (char)UTF8_TWO, (char)UTF8_TWO, (char)UTF8_TWO, UTF8_CUT | UTF8_OVERLONG_2, UTF8_CUT,          \
        UTF8_CUT | UTF8_OVERLONG_3 | UTF8_SURROGATE, UTF8_CUT | UTF8_HIGH | UTF8_OVERLONG_4

/* By its lower half. */
#define UTF8_FIRST_LOW                                                                                                 \
    (char)(UTF8_ANY_LOW | UTF8_OVERLONG_2 | UTF8_OVERLONG_3 | UTF8_OVERLONG_4),                                        \
        (char)(UTF8_ANY_LOW | UTF8_OVERLONG_2), (char)UTF8_ANY_LOW, (char)UTF8_ANY_LOW,                                \
        (char)(UTF8_ANY_LOW | UTF8_HIGH), (char)UTF8_F5, (char)UTF8_F5, (char)UTF8_F5, (char)UTF8_F5, (char)UTF8_F5,   \
        (char)UTF8_F5, (char)UTF8_F5, (char)UTF8_F5, (char)(UTF8_F5 | UTF8_SURROGATE), (char)UTF8_F5, (char)UTF8_F5

/* By the second byte's upper half: ASCII, continuations, leads. */
#define UTF8_SECOND_HIGH                                                                                               \
    UTF8_CUT, UTF8_CUT, UTF8_CUT, UTF8_CUT, UTF8_CUT, UTF8_CUT, UTF8_CUT, UTF8_CUT,                                    \
        (char)(UTF8_STRAY | UTF8_TWO | UTF8_OVERLONG_2 | UTF8_OVERLONG_3 | UTF8_OVERLONG_4),                           \
        (char)(UTF8_STRAY | UTF8_TWO | UTF8_OVERLONG_2 | UTF8_OVERLONG_3 | UTF8_HIGH),                                 \
        (char)(UTF8_STRAY | UTF8_TWO | UTF8_OVERLONG_2 | UTF8_SURROGATE | UTF8_HIGH),                                  \
        (char)(UTF8_STRAY | UTF8_TWO | UTF8_OVERLONG_2 | UTF8_SURROGATE | UTF8_HIGH), UTF8_CUT, UTF8_CUT, UTF8_CUT,    \
        UTF8_CUT

#endif
