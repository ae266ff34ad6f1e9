/*
 * Pulls events from a source plugin, prints each as one line, commits, and drains at SIGINT.
 *
 *   cc -std=c11 -I ../../plugin-abi/include -o pull pull.c -ldl
 *   ./pull PLUGIN.so CONFIG.json [MAX_RECORDS]
 *
 * Compiles as C11 and as C++17. Exit status: 0 after a drain or MAX_RECORDS, 1 on a failure, 64 on wrong usage.
 */
#include "event_source.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One entry per symbol that this host uses. ISO C has no cast from void * to a function pointer, hence memcpy. */
struct plugin {
    uint32_t (*abi_version)(void);
    const char *(*status_name)(int32_t);
    int32_t (*open)(const esp_open_args *, uint64_t *, esp_error *);
    int32_t (*next_batch)(uint64_t, const esp_limits *, esp_batch **, esp_error *);
    void (*batch_release)(esp_batch *);
    int32_t (*commit)(uint64_t, uint64_t, esp_error *);
    int32_t (*drain)(uint64_t, uint32_t);
    int32_t (*close)(uint64_t, uint32_t);
};

static volatile sig_atomic_t stopping = 0;

static void on_signal(int number) {
    (void)number;
    stopping = 1;
}

static int resolve(void *library, const char *name, void *target) {
    void *symbol = dlsym(library, name);
    if (symbol == NULL) {
        fprintf(stderr, "not an event source plugin: symbol %s is missing\n", name);
        return 0;
    }
    memcpy(target, &symbol, sizeof symbol);
    return 1;
}

static int load(const char *path, struct plugin *plugin) {
    /* Never dlclose: the plugin's threads and thread-local destructors outlive it. */
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 0;
    }
    if (!resolve(library, "esp_abi_version", &plugin->abi_version)) {
        return 0;
    }
    if (plugin->abi_version() >> 16 != ESP_ABI_MAJOR) {
        fprintf(stderr, "%s speaks ABI major %" PRIu32 ", this host speaks %d\n", path,
                plugin->abi_version() >> 16, (int)ESP_ABI_MAJOR);
        return 0;
    }
    return resolve(library, "esp_status_name", &plugin->status_name) && resolve(library, "esp_open", &plugin->open) &&
           resolve(library, "esp_next_batch", &plugin->next_batch) &&
           resolve(library, "esp_batch_release", &plugin->batch_release) &&
           resolve(library, "esp_commit", &plugin->commit) && resolve(library, "esp_drain", &plugin->drain) &&
           resolve(library, "esp_close", &plugin->close);
}

static char *read_file(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    char *text = NULL;
    long size;
    if (file == NULL) {
        perror(path);
        return NULL;
    }
    if (fseek(file, 0, SEEK_END) == 0 && (size = ftell(file)) >= 0 && fseek(file, 0, SEEK_SET) == 0) {
        text = (char *)malloc((size_t)size + 1);
        if (text != NULL) {
            *length = fread(text, 1, (size_t)size, file);
        }
    }
    fclose(file);
    return text;
}

/* Prints one record; the body is JSON on one line. */
static void print(const esp_record *record) {
    printf("%" PRIu32 " %" PRIu64 " %.*s\n", record->kind, record->sequence, (int)record->body.length,
           (const char *)record->body.data);
}

static void log_line(void *user_data, uint32_t level, esp_str target, esp_str message) {
    (void)user_data;
    fprintf(stderr, "%" PRIu32 " %.*s: %.*s\n", level, (int)target.length, (const char *)target.data,
            (int)message.length, (const char *)message.data);
}

/* Pulls until the source ends, `max_records` have come, or a failure. Returns the exit status. */
static int run(const struct plugin *plugin, uint64_t source, uint64_t max_records) {
    uint64_t count = 0;
    int draining = 0;
    for (;;) {
        esp_limits limits;
        esp_error error;
        esp_batch *batch = NULL;
        int32_t status;
        uint64_t at;
        memset(&limits, 0, sizeof limits);
        memset(&error, 0, sizeof error);
        limits.struct_size = (uint32_t)sizeof limits;
        limits.wait_ms = 200;
        error.struct_size = (uint32_t)sizeof error;
        if ((stopping || (max_records > 0 && count >= max_records)) && !draining) {
            draining = 1;
            plugin->drain(source, 5000);
        }
        status = plugin->next_batch(source, &limits, &batch, &error);
        if (status == ESP_STATUS_END) {
            return 0;
        }
        if (status < 0) {
            fprintf(stderr, "%s: %s\n", plugin->status_name(status), (const char *)error.message);
            return 1;
        }
        if (status != ESP_STATUS_OK) {
            continue; /* TIMEOUT, INTERRUPTED, or a status newer than this host: pull again */
        }
        for (at = 0; at < batch->record_count; at++) {
            /* Step by the stride: a newer plugin may have longer records. */
            print((const esp_record *)(const void *)((const char *)batch->records + at * batch->record_stride));
        }
        count += batch->record_count;
        fflush(stdout); /* what has been printed counts as durable here */
        status = plugin->commit(source, batch->last_sequence, &error);
        plugin->batch_release(batch);
        if (status != ESP_STATUS_OK) {
            fprintf(stderr, "%s: %s\n", plugin->status_name(status), (const char *)error.message);
            return 1;
        }
    }
}

int main(int argc, char **argv) {
    struct plugin plugin;
    esp_open_args args;
    esp_error error;
    uint64_t source = 0;
    size_t length = 0;
    char *config;
    int32_t status;
    int result;
    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: %s PLUGIN.so CONFIG.json [MAX_RECORDS]\n", argv[0]);
        return 64;
    }
    if (!load(argv[1], &plugin)) {
        return 1;
    }
    config = read_file(argv[2], &length);
    if (config == NULL) {
        return 1;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    memset(&args, 0, sizeof args);
    memset(&error, 0, sizeof error);
    args.struct_size = (uint32_t)sizeof args;
    args.config.data = (const uint8_t *)config;
    args.config.length = length;
    args.log = log_line;
    error.struct_size = (uint32_t)sizeof error;
    status = plugin.open(&args, &source, &error);
    free(config);
    if (status != ESP_STATUS_OK) {
        fprintf(stderr, "%s: %s\n", plugin.status_name(status), (const char *)error.message);
        return 1;
    }
    result = run(&plugin, source, argc == 4 ? strtoull(argv[3], NULL, 10) : 0);
    plugin.close(source, 5000);
    return result;
}
