from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t


cdef extern from "hft/btc.h" nogil:
    enum:
        HFT_BTC_HEADER_LEN
        HFT_BTC_MESSAGE_MAX
        HFT_BTC_INV_MAX
        HFT_BTC_PROTOCOL_VERSION
        HFT_BTC_MIN_VERSION
        HFT_BTC_USER_AGENT_MAX
        HFT_BTC_INV_TX
        HFT_BTC_INV_BLOCK
        HFT_BTC_INV_WTX
        HFT_BTC_INV_WITNESS_TX

    const uint64_t HFT_BTC_MONEY_MAX
    const uint64_t HFT_BTC_NODE_NETWORK
    const uint64_t HFT_BTC_NODE_WITNESS
    const uint32_t HFT_BTC_MAGIC_MAINNET
    const uint32_t HFT_BTC_MAGIC_TESTNET4
    const uint32_t HFT_BTC_MAGIC_SIGNET
    const uint32_t HFT_BTC_MAGIC_REGTEST

    ctypedef enum hft_btc_msg:
        HFT_BTC_MSG_OTHER
        HFT_BTC_MSG_VERSION
        HFT_BTC_MSG_VERACK
        HFT_BTC_MSG_WTXIDRELAY
        HFT_BTC_MSG_SENDADDRV2
        HFT_BTC_MSG_PING
        HFT_BTC_MSG_PONG
        HFT_BTC_MSG_INV
        HFT_BTC_MSG_GETDATA
        HFT_BTC_MSG_NOTFOUND
        HFT_BTC_MSG_TX
        HFT_BTC_MSG_FEEFILTER

    ctypedef struct hft_btc_message:
        uint8_t kind
        char command[13]
        const uint8_t *payload
        uint32_t payload_len
        uint32_t checksum

    int hft_btc_next_message(hft_btc_message *msg, size_t *used, size_t *need, uint32_t magic, uint32_t payload_max,
                             const uint8_t *data, size_t len)
    int hft_btc_checksum(uint8_t *hash, const hft_btc_message *msg)
    int hft_btc_compact_size_read(uint64_t *value, const uint8_t *data, size_t len, size_t *pos, uint64_t max)
    size_t hft_btc_compact_size_put(uint8_t *out, uint64_t value)

    ctypedef struct hft_btc_version:
        int32_t version
        uint64_t services
        int64_t timestamp
        uint64_t nonce
        const char *user_agent
        size_t user_agent_len
        int32_t start_height
        uint8_t relay

    int hft_btc_build_message(uint8_t *out, size_t cap, uint32_t magic, const char *command, const void *payload,
                              size_t len)
    int hft_btc_build_version(uint8_t *out, size_t cap, uint32_t magic, const hft_btc_version *v)
    int hft_btc_build_inv(uint8_t *out, size_t cap, uint32_t magic, const char *command, uint32_t type,
                          const uint8_t *hashes, size_t n)
    int hft_btc_parse_version(hft_btc_version *v, const uint8_t *payload, size_t len)
    int hft_btc_parse_inv(const uint8_t **entries, size_t *n, const uint8_t *payload, size_t len)

    ctypedef struct hft_btc_tx:
        const uint8_t *data
        uint32_t size
        int32_t version
        uint32_t locktime
        uint32_t n_inputs
        uint32_t n_outputs
        uint32_t inputs_pos
        uint32_t outputs_pos
        uint32_t outputs_end
        uint32_t body_pos
        uint32_t witness_pos

    ctypedef struct hft_btc_output:
        const uint8_t *script
        uint32_t script_len
        uint64_t value

    ctypedef struct hft_btc_input:
        const uint8_t *prev_txid
        uint32_t prev_index
        const uint8_t *script
        uint32_t script_len
        uint32_t sequence

    ctypedef struct hft_btc_witness:
        const uint8_t *data
        uint32_t size
        uint32_t n_items

    ctypedef struct hft_btc_item:
        const uint8_t *data
        uint32_t len

    ctypedef enum hft_btc_script_type:
        HFT_BTC_SCRIPT_NONSTANDARD
        HFT_BTC_SCRIPT_P2PK
        HFT_BTC_SCRIPT_P2PKH
        HFT_BTC_SCRIPT_P2SH
        HFT_BTC_SCRIPT_P2WPKH
        HFT_BTC_SCRIPT_P2WSH
        HFT_BTC_SCRIPT_P2TR
        HFT_BTC_SCRIPT_ANCHOR
        HFT_BTC_SCRIPT_WITNESS_UNKNOWN
        HFT_BTC_SCRIPT_MULTISIG
        HFT_BTC_SCRIPT_OP_RETURN

    ctypedef enum hft_btc_owner_reason:
        HFT_BTC_OWNER_KNOWN
        HFT_BTC_OWNER_COINBASE
        HFT_BTC_OWNER_NO_DATA
        HFT_BTC_OWNER_SIGNATURE_ONLY
        HFT_BTC_OWNER_TAPROOT_KEY
        HFT_BTC_OWNER_TAPROOT_SCRIPT
        HFT_BTC_OWNER_AMBIGUOUS
        HFT_BTC_OWNER_NONSTANDARD

    ctypedef struct hft_btc_owner:
        uint8_t script[34]
        uint8_t script_len
        uint8_t type
        uint8_t reason

    int hft_btc_parse_tx(hft_btc_tx *tx, const uint8_t *data, size_t len)
    void hft_btc_next_output(hft_btc_output *out, const hft_btc_tx *tx, uint32_t *pos)
    void hft_btc_next_input(hft_btc_input *inp, const hft_btc_tx *tx, uint32_t *pos)
    void hft_btc_next_witness(hft_btc_witness *witness, const hft_btc_tx *tx, uint32_t *pos)
    void hft_btc_next_item(hft_btc_item *item, const hft_btc_witness *witness, uint32_t *pos)
    void hft_btc_txid(uint8_t *out, const hft_btc_tx *tx)
    void hft_btc_wtxid(uint8_t *out, const hft_btc_tx *tx)
    void hft_btc_ids(uint8_t *txid, uint8_t *wtxid, const hft_btc_tx *tx)
    uint32_t hft_btc_vsize(const hft_btc_tx *tx)
    uint32_t hft_btc_weight(const hft_btc_tx *tx)
    hft_btc_script_type hft_btc_classify(const uint8_t *script, size_t len)
    int hft_btc_input_owner(hft_btc_owner *owner, const hft_btc_input *inp, const hft_btc_witness *witness)
