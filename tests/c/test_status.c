/* The status list: what errors.py and every message rely on. */
#include "check.h"

#include <hft/status.h>

static void test_walk(void) {
    size_t count = 0;
    for (int code; (code = hft_status_at(count)) != 0; count++) {
        CHECK(code <= -10000);
        CHECK(strncmp(hft_status_name(code), "HFT_E_", 6) == 0);
        CHECK(hft_status_text(code)[0] != '\0');
    }
    CHECK(count > 50);
    CHECK_EQ(hft_status_at(count + 1), 0);
    CHECK_EQ(hft_status_at(SIZE_MAX), 0);
    CHECK_EQ(hft_status_at(0), HFT_E_ARGUMENT);
}

static void test_names(void) {
    CHECK_STR(hft_status_name(0), "OK");
    CHECK_STR(hft_status_name(7), "OK");
    CHECK_STR(hft_status_name(-1), "ERRNO");
    CHECK_STR(hft_status_name(-4095), "ERRNO");
    CHECK(hft_status_name(-4096) == NULL);
    CHECK(hft_status_name(-99999) == NULL);
    CHECK_STR(hft_status_name(HFT_E_TLS_HOSTNAME), "HFT_E_TLS_HOSTNAME");
    CHECK_STR(hft_status_text(0), "");
    CHECK_STR(hft_status_text(-1), "");
}

static void test_fail(void) {
    hft_err err = {0};
    CHECK_EQ(hft_fail(&err, HFT_E_WS_MASK, 42, "masked"), HFT_E_WS_MASK);
    CHECK_EQ(err.code, HFT_E_WS_MASK);
    CHECK_EQ(err.pos, 42);
    CHECK_STR(err.text, "masked");
    char text[300];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    CHECK_EQ(hft_fail(&err, HFT_E_WS_MASK, 0, text), HFT_E_WS_MASK);
    CHECK_EQ(strlen(err.text), sizeof err.text - 1);
    CHECK_EQ(hft_fail(&err, HFT_E_STATE, 0, NULL), HFT_E_STATE);
    CHECK_STR(err.text, "");
    CHECK_EQ(hft_fail(NULL, HFT_E_STATE, 0, text), HFT_E_STATE);
}

int main(void) {
    test_walk();
    test_names();
    test_fail();
    return check_done();
}
