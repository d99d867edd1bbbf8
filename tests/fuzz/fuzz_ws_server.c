/* Any bytes from a client, whose frames are masked. */
#include "ws_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return fuzz_role(HFT_WS_SERVER, data, size); }
