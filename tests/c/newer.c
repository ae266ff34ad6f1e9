/*
 * A plugin of a later minor version, for the example hosts: longer structs, statuses that they do not know.
 *
 * It hands out two records and says at close what the host did with them. With the configuration `fail` a pull then
 * answers a failure that no host knows.
 */
#include "event_source.h"

#include <stdio.h>
#include <string.h>

#define TEXT(literal) {(const uint8_t *)literal, sizeof literal - 1}

struct longer_record {
    esp_record known;
    uint64_t added[4];
};

struct longer_batch {
    esp_batch known;
    uint64_t added;
};

static struct longer_record records[2];
static struct longer_batch batch;
static int pulls, releases, fails;
static uint64_t committed;

uint32_t esp_abi_version(void) { return (ESP_ABI_MAJOR << 16) | 9; }

const char *esp_status_name(esp_status status) { return status == ESP_STATUS_STATE ? "STATE" : "UNKNOWN"; }

esp_status esp_open(const esp_open_args *args, uint64_t *source, esp_error *error) {
    if (args->struct_size != sizeof *args || error->struct_size != sizeof *error) {
        return ESP_STATUS_INVALID_ARGUMENT;
    }
    fails = args->config.length == 4 && memcmp(args->config.data, "fail", 4) == 0;
    *source = UINT64_MAX; /* a handle uses all 64 bits */
    return ESP_STATUS_OK;
}

esp_status esp_next_batch(uint64_t source, const esp_limits *limits, esp_batch **out, esp_error *error) {
    const struct longer_record record = {
        {sizeof record, 99, 1u << 31, 7, 0, ESP_TIME_ABSENT, 0, TEXT("id"), TEXT("type \t\n"), {NULL, 0}, {NULL, 0},
         TEXT("{}"), NULL, 0, 48},
        {1, 2, 3, 4},
    };
    (void)error;
    if (source != UINT64_MAX || limits->struct_size != sizeof *limits) {
        return ESP_STATUS_INVALID_ARGUMENT;
    }
    pulls += 1;
    if (pulls == 1) {
        return 77; /* newer than the host: to be taken for TIMEOUT */
    }
    if (pulls == 3) {
        return ESP_STATUS_INTERRUPTED;
    }
    if (pulls > 3) {
        return fails ? -77 : ESP_STATUS_END;
    }
    records[0] = records[1] = record;
    records[0].known.sequence = UINT64_C(1) << 40;
    records[1].known.sequence = records[0].known.sequence + 5;
    batch.known.struct_size = (uint32_t)sizeof batch;
    batch.known.record_stride = (uint32_t)sizeof records[0];
    batch.known.records = &records[0].known;
    batch.known.record_count = 2;
    batch.known.first_sequence = records[0].known.sequence;
    batch.known.last_sequence = records[1].known.sequence;
    *out = &batch.known;
    return ESP_STATUS_OK;
}

void esp_batch_release(esp_batch *given) {
    releases += given == &batch.known;
    memset(records, 0xff, sizeof records); /* what a host reads after the release is nonsense */
    memset(&batch, 0xff, sizeof batch);
}

esp_status esp_commit(uint64_t source, uint64_t sequence, esp_error *error) {
    (void)error;
    committed = sequence;
    return source == UINT64_MAX ? ESP_STATUS_OK : ESP_STATUS_CLOSED;
}

esp_status esp_stats(uint64_t source, esp_text *text, esp_error *error) {
    static const char stats[] = "{}";
    (void)source;
    (void)error;
    text->length = sizeof stats - 1;
    if (text->capacity < text->length) {
        return ESP_STATUS_SHORT_BUFFER;
    }
    memcpy(text->data, stats, text->length);
    return ESP_STATUS_OK;
}

esp_status esp_drain(uint64_t source, uint32_t deadline_ms) {
    (void)source;
    (void)deadline_ms;
    return ESP_STATUS_OK;
}

esp_status esp_close(uint64_t source, uint32_t timeout_ms) {
    (void)source;
    (void)timeout_ms;
    fprintf(stderr, "pulls %d committed %llu releases %d\n", pulls, (unsigned long long)committed, releases);
    return ESP_STATUS_OK;
}
