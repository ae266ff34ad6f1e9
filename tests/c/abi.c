/*
 * Holds a source plugin to the C contract: `abi PLUGIN.so CONFIG.json SCENARIO`.
 *
 * CONFIG leads to a server that sends at least 20 events and then stays connected. Compiles as C11 and C++17. Every
 * failed expectation prints its line; the exit status is the number of them.
 */
#include "event_source.h"

#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint32_t (*abi_version)(void);
static const char *(*describe)(void);
static const char *(*status_name)(esp_status);
static esp_status (*check)(esp_str, uint32_t, uint32_t, esp_text *, esp_error *);
static esp_status (*open_source)(const esp_open_args *, uint64_t *, esp_error *);
static esp_status (*resume)(uint64_t, esp_str, esp_error *);
static esp_status (*next_batch)(uint64_t, const esp_limits *, esp_batch **, esp_error *);
static void (*batch_release)(esp_batch *);
static esp_status (*next_event)(uint64_t, uint32_t, esp_record *, esp_error *);
static esp_status (*commit)(uint64_t, uint64_t, esp_error *);
static esp_status (*token)(uint64_t, uint64_t, esp_text *, esp_error *);
static esp_status (*stats)(uint64_t, esp_text *, esp_error *);
static int32_t (*poll_fd)(uint64_t);
static esp_status (*interrupt)(uint64_t);
static esp_status (*drain)(uint64_t, uint32_t);
static esp_status (*close_source)(uint64_t, uint32_t);

static int failures = 0;
static char config_text[65536];
static esp_str config;

#define EXPECT(condition)                                                            \
    do {                                                                             \
        if (!(condition)) {                                                          \
            fprintf(stderr, "line %d: not so: %s\n", __LINE__, #condition);          \
            failures++;                                                              \
        }                                                                            \
    } while (0)

static void resolve(void *library, const char *name, void *target) {
    void *symbol = dlsym(library, name);
    if (symbol == NULL) {
        fprintf(stderr, "%s is missing\n", name);
        exit(99);
    }
    memcpy(target, &symbol, sizeof symbol);
}

static esp_error fresh_error(void) {
    esp_error error;
    memset(&error, 0xAA, sizeof error);
    error.struct_size = (uint32_t)sizeof error;
    return error;
}

static esp_limits wait_for(uint32_t wait_ms) {
    esp_limits limits;
    memset(&limits, 0, sizeof limits);
    limits.struct_size = (uint32_t)sizeof limits;
    limits.wait_ms = wait_ms;
    return limits;
}

static uint64_t open_or_die(esp_log_fn log, void *user_data) {
    esp_open_args args;
    esp_error error = fresh_error();
    uint64_t source = 0;
    memset(&args, 0, sizeof args);
    args.struct_size = (uint32_t)sizeof args;
    args.config = config;
    args.log = log;
    args.log_user_data = user_data;
    args.log_level = ESP_LOG_TRACE;
    if (open_source(&args, &source, &error) != ESP_STATUS_OK) {
        fprintf(stderr, "open: %s\n", (const char *)error.message);
        exit(99);
    }
    EXPECT(error.status == ESP_STATUS_OK && error.message[0] == 0);
    EXPECT(source != 0);
    return source;
}

static esp_batch *pull_or_die(uint64_t source, uint32_t max_records) {
    esp_limits limits = wait_for(20000);
    esp_error error = fresh_error();
    esp_batch *batch = NULL;
    esp_status status;
    limits.max_records = max_records;
    status = next_batch(source, &limits, &batch, &error);
    if (status != ESP_STATUS_OK) {
        fprintf(stderr, "pull: %s %s\n", status_name(status), (const char *)error.message);
        exit(99);
    }
    return batch;
}

static const esp_record *record_at(const esp_batch *batch, uint64_t at) {
    return (const esp_record *)(const void *)((const char *)batch->records + at * batch->record_stride);
}

static int contains(const char *text, const char *part) { return strstr(text, part) != NULL; }

static void arguments(void) {
    esp_open_args args;
    esp_error error = fresh_error();
    esp_limits limits = wait_for(0);
    esp_batch *batch = NULL;
    esp_text text;
    uint64_t source = 77;
    uint64_t open;
    static const uint8_t not_utf8[] = {'{', 0xFF, '}'};
    static const uint8_t wrong[] = "{\"regoin\": 1}";

    memset(&args, 0, sizeof args);
    EXPECT(open_source(NULL, &source, &error) == ESP_STATUS_INVALID_ARGUMENT);
    EXPECT(contains((const char *)error.message, "args"));
    EXPECT(error.retryable == 0);
    EXPECT(open_source(&args, &source, &error) == ESP_STATUS_INVALID_ARGUMENT); /* struct_size 0 */
    args.struct_size = (uint32_t)sizeof args;
    EXPECT(open_source(&args, NULL, &error) == ESP_STATUS_INVALID_ARGUMENT);
    args.config.length = 3;
    EXPECT(open_source(&args, &source, &error) == ESP_STATUS_INVALID_ARGUMENT); /* data NULL */
    args.config.data = not_utf8;
    EXPECT(open_source(&args, &source, &error) == ESP_STATUS_INVALID_ARGUMENT);
    args.config.data = wrong;
    args.config.length = sizeof wrong - 1;
    EXPECT(open_source(&args, &source, &error) == ESP_STATUS_CONFIG);
    EXPECT(contains((const char *)error.message, "regoin"));
    EXPECT(contains((const char *)error.message, "region"));
    EXPECT(open_source(&args, &source, NULL) == ESP_STATUS_CONFIG); /* no error wanted */
    args.config = config;
    args.flags = 1u << 31;
    EXPECT(open_source(&args, &source, &error) == ESP_STATUS_UNSUPPORTED);
    EXPECT(source == 77); /* untouched by every failure */

    /* A short error struct is filled as far as it goes and not beyond. */
    memset(&error, 0xAA, sizeof error);
    error.struct_size = 20;
    EXPECT(open_source(NULL, &source, &error) == ESP_STATUS_INVALID_ARGUMENT);
    EXPECT(error.message[3] == 0 && error.message[4] == 0xAA);

    memset(&text, 0, sizeof text);
    text.struct_size = (uint32_t)sizeof text;
    args.config.data = wrong;
    args.config.length = sizeof wrong - 1;
    EXPECT(check(args.config, 0, 0, &text, &error) == ESP_STATUS_SHORT_BUFFER);
    EXPECT(text.length > 10);
    EXPECT(check(args.config, 0, 0, NULL, NULL) == ESP_STATUS_CONFIG);
    EXPECT(check(config, 1u << 31, 0, NULL, NULL) == ESP_STATUS_UNSUPPORTED);
    EXPECT(check(config, 0, 0, NULL, NULL) == ESP_STATUS_OK);

    open = open_or_die(NULL, NULL);
    error = fresh_error();
    EXPECT(next_batch(open, NULL, &batch, &error) == ESP_STATUS_INVALID_ARGUMENT);
    EXPECT(next_batch(open, &limits, NULL, &error) == ESP_STATUS_INVALID_ARGUMENT);
    limits.struct_size = 0;
    EXPECT(next_batch(open, &limits, &batch, &error) == ESP_STATUS_INVALID_ARGUMENT);
    EXPECT(next_event(open, 0, NULL, &error) == ESP_STATUS_INVALID_ARGUMENT);
    EXPECT(stats(open, NULL, &error) == ESP_STATUS_INVALID_ARGUMENT);
    EXPECT(token(open, 0, NULL, &error) == ESP_STATUS_INVALID_ARGUMENT);
    EXPECT(batch == NULL);
    batch_release(NULL);
    EXPECT(close_source(open, 5000) == ESP_STATUS_OK);
}

static void handles(void) {
    esp_limits limits = wait_for(0);
    esp_batch *batch = NULL;
    uint64_t source = open_or_die(NULL, NULL);
    uint64_t second;
    uint64_t never[] = {0, 1, UINT64_MAX, source + 1, source << 32};
    size_t at;
    for (at = 0; at < sizeof never / sizeof never[0]; at++) {
        EXPECT(next_batch(never[at], &limits, &batch, NULL) == ESP_STATUS_CLOSED);
        EXPECT(close_source(never[at], 0) == ESP_STATUS_CLOSED);
        EXPECT(poll_fd(never[at]) == -1);
    }
    EXPECT(close_source(source, 5000) == ESP_STATUS_OK);
    EXPECT(close_source(source, 5000) == ESP_STATUS_CLOSED);
    second = open_or_die(NULL, NULL);
    EXPECT(second != source); /* a new source never answers to a stale handle */
    EXPECT(interrupt(source) == ESP_STATUS_CLOSED && drain(source, 0) == ESP_STATUS_CLOSED);
    EXPECT(commit(source, 0, NULL) == ESP_STATUS_CLOSED);
    EXPECT(close_source(second, 5000) == ESP_STATUS_OK);
}

static void records(void) {
    esp_error error = fresh_error();
    esp_record record;
    esp_text text;
    char buffer[16384];
    uint64_t source = open_or_die(NULL, NULL);
    esp_batch *batch = pull_or_die(source, 3);
    esp_batch *later;
    const esp_record *first = record_at(batch, 0);
    const esp_attribute *attribute;
    char first_id[256];
    uint64_t at;
    esp_str old = {(const uint8_t *)"x", 1};
    esp_str position;

    EXPECT(batch->struct_size == sizeof(esp_batch) && batch->record_stride == sizeof(esp_record));
    EXPECT(batch->record_count >= 1 && batch->record_count <= 3);
    EXPECT(batch->first_sequence == first->sequence);
    EXPECT(batch->last_sequence == record_at(batch, batch->record_count - 1)->sequence);
    for (at = 0; at < batch->record_count; at++) {
        const esp_record *one = record_at(batch, at);
        EXPECT(one->struct_size == sizeof(esp_record));
        EXPECT(one->kind == ESP_KIND_EVENT || one->kind == ESP_KIND_CONTROL || one->kind == ESP_KIND_DEAD_LETTER);
        EXPECT(one->id.length > 0 && one->type_.length > 0 && one->received_time_us > 0);
        EXPECT(one->body.length > 2 && one->body.data[0] == '{' && one->body.data[one->body.length - 1] == '}');
        EXPECT(one->attribute_stride >= sizeof(esp_attribute));
        EXPECT(at == 0 || one->sequence > record_at(batch, at - 1)->sequence);
    }
    EXPECT(first->attribute_count >= 1);
    attribute = first->attributes;
    EXPECT(attribute->name.length == 6 && memcmp(attribute->name.data, "source", 6) == 0);

    EXPECT(commit(source, batch->last_sequence + 1000, &error) == ESP_STATUS_INVALID_ARGUMENT);
    EXPECT(contains((const char *)error.message, "handed out"));
    EXPECT(commit(source, batch->last_sequence, &error) == ESP_STATUS_OK);
    EXPECT(commit(source, batch->last_sequence, &error) == ESP_STATUS_OK);
    EXPECT(commit(source, 0, &error) == ESP_STATUS_OK);

    memset(&record, 0, sizeof record);
    record.struct_size = (uint32_t)sizeof record;
    EXPECT(next_event(source, 20000, &record, &error) == ESP_STATUS_OK);
    EXPECT(record.sequence > batch->last_sequence && record.body.data[0] == '{');
    EXPECT(record.struct_size == sizeof record);
    {
        /* A host compiled against a shorter record is not written beyond it. */
        esp_record small;
        memset(&small, 0xAA, sizeof small);
        small.struct_size = 40;
        EXPECT(next_event(source, 20000, &small, &error) == ESP_STATUS_OK);
        EXPECT(small.sequence > record.sequence && small.id.length == 0xAAAAAAAAAAAAAAAAu);
    }

    memset(&text, 0, sizeof text);
    text.struct_size = (uint32_t)sizeof text;
    EXPECT(token(source, batch->last_sequence, &text, &error) == ESP_STATUS_SHORT_BUFFER);
    EXPECT(text.length > 0 && text.length <= 256);
    text.data = (uint8_t *)buffer;
    text.capacity = sizeof buffer - 1;
    EXPECT(token(source, batch->last_sequence, &text, &error) == ESP_STATUS_OK);
    position.data = text.data;
    position.length = text.length;
    EXPECT(resume(source, position, &error) == ESP_STATUS_STATE);
    EXPECT(resume(source, old, &error) == ESP_STATUS_INVALID_ARGUMENT);
    EXPECT(token(source, batch->last_sequence + 1000000, &text, &error) == ESP_STATUS_INVALID_ARGUMENT);
    text.capacity = 0;
    buffer[0] = '!';
    EXPECT(stats(source, &text, &error) == ESP_STATUS_SHORT_BUFFER);
    EXPECT(error.retryable == 1 && text.length > 2 && buffer[0] == '!');
    text.capacity = sizeof buffer - 1;
    EXPECT(stats(source, &text, &error) == ESP_STATUS_OK);
    buffer[text.length] = 0;
    EXPECT(buffer[0] == '{' && contains(buffer, "\"law\":0") && contains(buffer, "\"capabilities\""));

    /* A batch outlives later pulls and the source itself. */
    later = pull_or_die(source, 1);
    EXPECT(first->id.length < sizeof first_id);
    memcpy(first_id, first->id.data, first->id.length);
    EXPECT(close_source(source, 5000) == ESP_STATUS_OK);
    EXPECT(memcmp(first_id, first->id.data, first->id.length) == 0);
    batch_release(batch);
    batch_release(later);
}

struct puller {
    uint64_t source;
    volatile esp_status status;
};

/* The other thread looks for BUSY with pulls of its own, so this one may meet it first, and then asks again. */
static void *pull_once(void *user_data) {
    struct puller *puller = (struct puller *)user_data;
    esp_limits limits = wait_for(30000);
    esp_batch *batch = NULL;
    do {
        puller->status = next_batch(puller->source, &limits, &batch, NULL);
    } while (puller->status == ESP_STATUS_BUSY);
    if (puller->status == ESP_STATUS_OK) {
        batch_release(batch);
    }
    return NULL;
}

/* Pulls until nothing comes for 500 ms: the server has said all it had to say. */
static void exhaust(uint64_t source) {
    for (;;) {
        esp_limits limits = wait_for(500);
        esp_batch *batch = NULL;
        esp_status status = next_batch(source, &limits, &batch, NULL);
        if (status != ESP_STATUS_OK) {
            EXPECT(status == ESP_STATUS_TIMEOUT);
            return;
        }
        batch_release(batch);
    }
}

static esp_status pull_while_other_waits(uint64_t source) {
    esp_limits limits = wait_for(0);
    esp_batch *batch = NULL;
    time_t deadline = time(NULL) + 20;
    esp_status status;
    do {
        status = next_batch(source, &limits, &batch, NULL);
        if (status == ESP_STATUS_OK) {
            batch_release(batch);
        }
    } while (status != ESP_STATUS_BUSY && time(NULL) < deadline);
    return status;
}

/* Its pull would wait for 30 s by itself and then give the same answer: what comes sooner was brought about. */
static int joined_soon(pthread_t thread) {
    time_t from = time(NULL);
    pthread_join(thread, NULL);
    return time(NULL) - from < 15;
}

static void threads(void) {
    struct puller puller;
    pthread_t thread;
    struct pollfd descriptor;
    esp_batch *batch;
    uint64_t source = open_or_die(NULL, NULL);

    descriptor.fd = poll_fd(source);
    descriptor.events = POLLIN;
    EXPECT(descriptor.fd >= 0);
    EXPECT(poll(&descriptor, 1, 20000) == 1); /* the first record makes it readable */
    batch = pull_or_die(source, 1);
    batch_release(batch);
    exhaust(source);
    EXPECT(poll(&descriptor, 1, 0) == 0);

    puller.source = source;
    EXPECT(pthread_create(&thread, NULL, pull_once, &puller) == 0);
    EXPECT(pull_while_other_waits(source) == ESP_STATUS_BUSY);
    EXPECT(interrupt(source) == ESP_STATUS_OK);
    EXPECT(joined_soon(thread));
    EXPECT(puller.status == ESP_STATUS_INTERRUPTED);

    EXPECT(pthread_create(&thread, NULL, pull_once, &puller) == 0);
    EXPECT(pull_while_other_waits(source) == ESP_STATUS_BUSY);
    EXPECT(close_source(source, 5000) == ESP_STATUS_OK);
    EXPECT(joined_soon(thread));
    EXPECT(puller.status == ESP_STATUS_CLOSED);
}

static void draining(void) {
    struct pollfd descriptor;
    esp_limits limits = wait_for(20000);
    uint64_t source = open_or_die(NULL, NULL);
    uint64_t last = 0;
    esp_batch *batch = pull_or_die(source, 1);
    esp_status status;
    int stopped = 0;
    batch_release(batch);
    descriptor.fd = poll_fd(source);
    descriptor.events = POLLIN;
    EXPECT(drain(source, 20000) == ESP_STATUS_OK);
    EXPECT(drain(source, 20000) == ESP_STATUS_OK);
    while ((status = next_batch(source, &limits, &batch, NULL)) == ESP_STATUS_OK) {
        const esp_record *record = record_at(batch, batch->record_count - 1);
        stopped = record->kind == ESP_KIND_CONTROL;
        last = batch->last_sequence;
        batch_release(batch);
    }
    EXPECT(status == ESP_STATUS_END);
    EXPECT(stopped); /* the gap that begins now is the last record */
    EXPECT(next_batch(source, &limits, &batch, NULL) == ESP_STATUS_END); /* and stays so */
    EXPECT(poll(&descriptor, 1, 0) == 1);
    EXPECT(commit(source, last, NULL) == ESP_STATUS_OK);
    EXPECT(close_source(source, 5000) == ESP_STATUS_OK);
}

static volatile esp_status closed_in_callback = 12345;
static uint64_t callback_source = 0;
static volatile int callbacks = 0;

static void close_from_callback(void *user_data, uint32_t level, esp_str target, esp_str message) {
    (void)level;
    (void)message;
    EXPECT(user_data == (void *)&callback_source);
    EXPECT(target.length > 0);
    callbacks++;
    closed_in_callback = close_source(callback_source, 0);
}

static void callback(void) {
    esp_batch *batch;
    callback_source = open_or_die(close_from_callback, &callback_source);
    batch = pull_or_die(callback_source, 1);
    batch_release(batch);
    EXPECT(close_source(callback_source, 5000) == ESP_STATUS_OK);
    EXPECT(callbacks > 0);
    EXPECT(closed_in_callback == ESP_STATUS_WRONG_THREAD);
}

static void forked(void) {
    uint64_t source = open_or_die(NULL, NULL);
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        esp_limits limits = wait_for(0);
        esp_batch *batch = NULL;
        int wrong = next_batch(source, &limits, &batch, NULL) != ESP_STATUS_FORKED;
        wrong |= close_source(source, 0) != ESP_STATUS_FORKED;
        _exit(wrong);
    }
    EXPECT(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    EXPECT(close_source(source, 5000) == ESP_STATUS_OK);
}

static void reopened(void) {
    int at;
    for (at = 0; at < 50; at++) {
        EXPECT(close_source(open_or_die(NULL, NULL), 5000) == ESP_STATUS_OK);
    }
}

static void constants(void) {
    EXPECT(abi_version() == (uint32_t)ESP_ABI_VERSION);
    EXPECT(contains(describe(), "\"config_schema\"") && describe() == describe());
    EXPECT(strcmp(status_name(ESP_STATUS_OK), "OK") == 0);
    EXPECT(strcmp(status_name(ESP_STATUS_SHORT_BUFFER), "SHORT_BUFFER") == 0);
    EXPECT(strcmp(status_name(-999), "UNKNOWN") == 0);
    EXPECT(sizeof(esp_record) == 136 && sizeof(esp_error) == 528 && sizeof(esp_open_args) == 48);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*run)(void);
    } scenarios[] = {{"arguments", arguments}, {"handles", handles},   {"records", records},
                     {"threads", threads},     {"draining", draining}, {"callback", callback},
                     {"forked", forked},       {"reopened", reopened}, {"constants", constants}};
    FILE *file;
    void *library;
    size_t at;
    if (argc != 4 || (library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL)) == NULL) {
        fprintf(stderr, "usage: abi PLUGIN.so CONFIG.json SCENARIO (%s)\n", argc == 4 ? dlerror() : "arguments");
        return 99;
    }
    resolve(library, "esp_abi_version", &abi_version);
    resolve(library, "esp_describe", &describe);
    resolve(library, "esp_status_name", &status_name);
    resolve(library, "esp_check", &check);
    resolve(library, "esp_open", &open_source);
    resolve(library, "esp_resume", &resume);
    resolve(library, "esp_next_batch", &next_batch);
    resolve(library, "esp_batch_release", &batch_release);
    resolve(library, "esp_next_event", &next_event);
    resolve(library, "esp_commit", &commit);
    resolve(library, "esp_token", &token);
    resolve(library, "esp_stats", &stats);
    resolve(library, "esp_poll_fd", &poll_fd);
    resolve(library, "esp_interrupt", &interrupt);
    resolve(library, "esp_drain", &drain);
    resolve(library, "esp_close", &close_source);
    file = fopen(argv[2], "rb");
    if (file == NULL) {
        perror(argv[2]);
        return 99;
    }
    config.length = fread(config_text, 1, sizeof config_text, file);
    config.data = (const uint8_t *)config_text;
    fclose(file);
    for (at = 0; at < sizeof scenarios / sizeof scenarios[0]; at++) {
        if (strcmp(scenarios[at].name, argv[3]) == 0) {
            scenarios[at].run();
            return failures;
        }
    }
    fprintf(stderr, "no scenario %s\n", argv[3]);
    return 99;
}
