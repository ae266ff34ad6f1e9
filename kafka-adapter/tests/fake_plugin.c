/* A plugin of the contract for the adapter's own tests: three records a batch, made from nothing.
 * MAJOR, BATCHES (-1 for no end), FAULT (check reports one), BAD (text that is not UTF-8),
 * STUBBORN (drain changes nothing), FRAMES_LAW and RECORDS_LAW (what it says of its laws) are set at compile time. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "event_source.h"

#ifndef FRAMES_LAW
#define FRAMES_LAW 0
#endif
#ifndef RECORDS_LAW
#define RECORDS_LAW 0
#endif

static uint64_t given, committed;
static int draining;

static esp_str text(const char *from) {
    esp_str out = {(const uint8_t *)from, strlen(from)};
    return out;
}
static int32_t put(esp_text *into, const char *from) {
    into->length = strlen(from);
    if (into->length > into->capacity) return -10;
    memcpy(into->data, from, into->length);
    return 0;
}
static int32_t fail(esp_error *error, int32_t status, const char *message) {
    if (error) {
        error->status = status;
        error->retryable = 0;
        error->code = 0;
        strcpy((char *)error->message, message);
    }
    return status;
}

uint32_t esp_abi_version(void) { return (uint32_t)MAJOR << 16 | 7; }
const char *esp_describe(void) {
    return "{\"name\":\"fake\",\"version\":\"9.9\",\"config_schema\":{\"type\":\"object\"}}";
}
const char *esp_status_name(int32_t status) { (void)status; return "UNKNOWN"; }
int32_t esp_check(esp_str config, uint32_t flags, uint32_t timeout_ms, esp_text *report, esp_error *error) {
    (void)config; (void)flags; (void)timeout_ms;
#ifdef FAULT
    int32_t short_buffer = put(report, "{\"faults\":[{\"path\":\"region\",\"message\":\"unknown region\","
                                       "\"mend\":\"use a known one\",\"nearest\":\"us-east-1\"}]}");
    return short_buffer ? short_buffer : fail(error, -2, "unknown region");
#else
    (void)error;
    return put(report, "{\"faults\":[]}");
#endif
}
int32_t esp_open(const esp_open_args *args, uint64_t *source, esp_error *error) {
    (void)error;
    args->log(args->log_user_data, 3, text("fake"), text("opened"));
    *source = 42;
    return 0;
}
int32_t esp_resume(uint64_t source, esp_str token, esp_error *error) {
    (void)source; (void)token;
    return fail(error, -3, "no spool");
}
int32_t esp_next_batch(uint64_t source, const esp_limits *limits, esp_batch **out, esp_error *error) {
    (void)limits;
    if (source != 42) return fail(error, -16, "no such source");
    if (draining || (BATCHES >= 0 && given >= 3 * (uint64_t)BATCHES)) return 2;
    struct timespec pause = {0, BATCHES < 0 ? 10000000 : 0};
    nanosleep(&pause, NULL);
    esp_batch *batch = calloc(1, sizeof *batch + 3 * sizeof(esp_record));
    esp_record *records = (esp_record *)(batch + 1);
    for (int at = 0; at < 3; at++) {
        esp_record *record = &records[at];
        record->struct_size = sizeof *record;
        record->kind = 1;
        record->sequence = ++given;
        record->event_time_us = INT64_MIN;
        record->received_time_us = 1700000000000000;
        record->id = text("id");
#ifdef BAD
        record->type_ = text("\xff\xfe");
#else
        record->type_ = text("interaction");
#endif
        record->subject = record->key = text("conversation");
        record->body = text("{\"analyticsId\":\"conversation\"}");
    }
    batch->struct_size = sizeof *batch;
    batch->record_stride = sizeof *records;
    batch->records = records;
    batch->record_count = 3;
    batch->first_sequence = given - 2;
    batch->last_sequence = given;
    *out = batch;
    return 0;
}
void esp_batch_release(esp_batch *batch) { free(batch); }
int32_t esp_next_event(uint64_t source, uint32_t wait_ms, esp_record *record, esp_error *error) {
    (void)source; (void)wait_ms; (void)record;
    return fail(error, -3, "not in this fake");
}
int32_t esp_commit(uint64_t source, uint64_t sequence, esp_error *error) {
    (void)source;
    if (sequence > given) return fail(error, -1, "beyond the last hand-out");
    committed = sequence;
    return 0;
}
int32_t esp_token(uint64_t source, uint64_t sequence, esp_text *token, esp_error *error) {
    (void)source; (void)sequence; (void)token;
    return fail(error, -3, "no spool");
}
int32_t esp_stats(uint64_t source, esp_text *into, esp_error *error) {
    (void)source; (void)error;
    char stats[128];
    snprintf(stats, sizeof stats, "{\"state\":\"%s\",\"frames\":{\"law\":%d},\"records\":{\"law\":%d}}",
             committed == given ? "committed" : "behind", FRAMES_LAW, RECORDS_LAW);
    return put(into, stats);
}
int32_t esp_poll_fd(uint64_t source) { (void)source; return -1; }
int32_t esp_interrupt(uint64_t source) { (void)source; return 0; }
int32_t esp_drain(uint64_t source, uint32_t deadline_ms) {
    (void)source; (void)deadline_ms;
#ifndef STUBBORN
    draining = 1;
#endif
    return 0;
}
int32_t esp_close(uint64_t source, uint32_t timeout_ms) { (void)source; (void)timeout_ms; return 0; }
