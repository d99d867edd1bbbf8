#include "hft/hmac512.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>

#include "hft/hmac.h"

#define BLOCK_LEN 128

/* A context that has absorbed one block; NULL if memory ran out. */
static EVP_MD_CTX *absorb(const EVP_MD *sha512, const uint8_t block[BLOCK_LEN]) {
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx != NULL && EVP_DigestInit_ex2(ctx, sha512, NULL) && EVP_DigestUpdate(ctx, block, BLOCK_LEN)) return ctx;
    EVP_MD_CTX_free(ctx);
    return NULL;
}

static int absorb_pads(hft_hmac512 *mac, const EVP_MD *sha512, const void *secret, size_t secret_len) {
    uint8_t pad[BLOCK_LEN] = {0};
    int ready = 1;
    if (secret_len > sizeof pad) ready = EVP_Digest(secret, secret_len, pad, NULL, sha512, NULL);
    else if (secret_len != 0) memcpy(pad, secret, secret_len);
    if (ready) {
        for (size_t i = 0; i < sizeof pad; i++) pad[i] ^= 0x36;
        mac->inner = absorb(sha512, pad);
        for (size_t i = 0; i < sizeof pad; i++) pad[i] ^= 0x36 ^ 0x5c;
        mac->outer = absorb(sha512, pad);
    }
    hft_wipe(pad, sizeof pad);
    return mac->inner != NULL && mac->outer != NULL ? HFT_OK : HFT_E_MEMORY;
}

int hft_hmac512_open(hft_hmac512 *mac, const void *secret, size_t secret_len) {
    *mac = (hft_hmac512){NULL, NULL};
    EVP_MD *sha512 = EVP_MD_fetch(NULL, "SHA2-512", NULL);
    int rc = sha512 != NULL ? absorb_pads(mac, sha512, secret, secret_len) : HFT_E_STATE;
    EVP_MD_free(sha512);
    if (rc < 0) {
        hft_hmac512_close(mac);
        ERR_clear_error(); /* the queue belongs to the thread: the next user of OpenSSL must not find ours */
    }
    return rc;
}

void hft_hmac512_close(hft_hmac512 *mac) {
    EVP_MD_CTX_free(mac->inner);
    EVP_MD_CTX_free(mac->outer);
    *mac = (hft_hmac512){NULL, NULL};
}

int hft_hmac512_digest(uint8_t out[HFT_HMAC512_LEN], const hft_hmac512 *mac, const void *msg, size_t len) {
    uint8_t inner[HFT_HMAC512_LEN];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int done = ctx != NULL && EVP_MD_CTX_copy_ex(ctx, mac->inner) && EVP_DigestUpdate(ctx, msg, len) &&
               EVP_DigestFinal_ex(ctx, inner, NULL) && EVP_MD_CTX_copy_ex(ctx, mac->outer) &&
               EVP_DigestUpdate(ctx, inner, sizeof inner) && EVP_DigestFinal_ex(ctx, out, NULL);
    EVP_MD_CTX_free(ctx);
    hft_wipe(inner, sizeof inner);
    if (!done) ERR_clear_error();
    return done ? HFT_OK : HFT_E_MEMORY;
}
