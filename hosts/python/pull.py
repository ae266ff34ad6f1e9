#!/usr/bin/env python3
"""Pulls events from a source plugin, prints each as one line, commits, and drains at SIGINT or SIGTERM.

    python3 pull.py PLUGIN.so CONFIG.json [MAX_RECORDS]
    python3 pull.py --layout        what this file believes about the contract, as JSON

Standard library only, Python 3.8 or newer. A line is: kind, sequence, key, type, body; each JSON, a space between.
Exit status: 0 after a drain or MAX_RECORDS, 1 on a failure, 64 on wrong usage.
"""
import ctypes
import json
import os
import signal
import sys
from ctypes import POINTER, byref, c_char_p, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p

ABI_MAJOR = 1
OK, TIMEOUT, END, INTERRUPTED, SHORT_BUFFER = 0, 1, 2, 3, -10  # the statuses that this host treats by name
WAIT_MS = 200  # how long a signal may wait: Python runs its handlers between calls into C
DRAIN_MS = CLOSE_MS = 5000


class Str(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("length", c_size_t)]

    def __bytes__(self):
        # copied: the plugin's bytes live no longer than the batch; data may be NULL where length is 0
        return ctypes.string_at(self.data, self.length) if self.length else b""


LogFn = ctypes.CFUNCTYPE(None, c_void_p, c_uint32, Str, Str)


class Text(ctypes.Structure):
    _fields_ = [("struct_size", c_uint32), ("reserved", c_uint32), ("data", c_void_p), ("capacity", c_size_t),
                ("length", c_size_t)]


class Error(ctypes.Structure):
    _fields_ = [("struct_size", c_uint32), ("status", c_int32), ("retryable", c_uint32), ("code", c_int32),
                ("message", ctypes.c_char * 512)]


class OpenArgs(ctypes.Structure):
    _fields_ = [("struct_size", c_uint32), ("flags", c_uint32), ("config", Str), ("log", LogFn),
                ("log_user_data", c_void_p), ("log_level", c_uint32), ("reserved", c_uint32)]


class Limits(ctypes.Structure):
    _fields_ = [("struct_size", c_uint32), ("max_records", c_uint32), ("max_bytes", c_uint64), ("wait_ms", c_uint32),
                ("linger_ms", c_uint32)]


class Attribute(ctypes.Structure):
    _fields_ = [("name", Str), ("value", Str)]


class Record(ctypes.Structure):
    _fields_ = [("struct_size", c_uint32), ("kind", c_uint32), ("flags", c_uint32), ("reserved", c_uint32),
                ("sequence", c_uint64), ("event_time_us", c_int64), ("received_time_us", c_int64), ("id", Str),
                ("type_", Str), ("subject", Str), ("key", Str), ("body", Str), ("attributes", c_void_p),
                ("attribute_count", c_uint32), ("attribute_stride", c_uint32)]


class Batch(ctypes.Structure):
    _fields_ = [("struct_size", c_uint32), ("record_stride", c_uint32), ("records", c_void_p),
                ("record_count", c_uint64), ("first_sequence", c_uint64), ("last_sequence", c_uint64),
                ("total_bytes", c_uint64), ("private_data", c_void_p)]


# The sizes of ABI 1.0 (event_source.h, LP64). A struct that differs would let the plugin write past its end.
SIZES = {Str: 16, Text: 32, Error: 528, OpenArgs: 48, Limits: 24, Attribute: 32, Record: 136, Batch: 56}
for struct, size in SIZES.items():
    if ctypes.sizeof(struct) != size:
        sys.exit("%s has %d bytes here, %d in the contract" % (struct.__name__, ctypes.sizeof(struct), size))

# Every function that this host calls: result, then arguments. Without them ctypes cuts 64-bit values to int.
FUNCTIONS = {
    "esp_abi_version": (c_uint32,),
    "esp_status_name": (c_char_p, c_int32),
    "esp_open": (c_int32, POINTER(OpenArgs), POINTER(c_uint64), POINTER(Error)),
    "esp_next_batch": (c_int32, c_uint64, POINTER(Limits), POINTER(POINTER(Batch)), POINTER(Error)),
    "esp_batch_release": (None, POINTER(Batch)),
    "esp_commit": (c_int32, c_uint64, c_uint64, POINTER(Error)),
    "esp_stats": (c_int32, c_uint64, POINTER(Text), POINTER(Error)),
    "esp_drain": (c_int32, c_uint64, c_uint32),
    "esp_close": (c_int32, c_uint64, c_uint32),
}


class Failure(Exception):
    """What ends this host, in one line."""


def sized(struct, **fields):
    return struct(struct_size=ctypes.sizeof(struct), **fields)


def load(path):
    # CDLL releases the interpreter's lock during a call; under PyDLL a log line during a pull would hang for ever.
    # Nothing unloads the library: ctypes never calls dlclose. Without a slash dlopen would search the system's folders.
    library = ctypes.CDLL(os.path.abspath(path))
    for name, (result, *arguments) in FUNCTIONS.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise Failure("%s is not an event source plugin: symbol %s is missing" % (path, name)) from None
        function.restype, function.argtypes = result, arguments
        if name == "esp_abi_version" and function() >> 16 != ABI_MAJOR:
            # asked before the other symbols: another major may have others
            raise Failure("%s speaks ABI major %d, this host speaks %d" % (path, function() >> 16, ABI_MAJOR))
    return library


def succeed(library, status, error):
    """Raises for a failure: the status' name, and what the plugin wrote about it."""
    if status < 0:
        name = library.esp_status_name(status).decode()
        raise Failure("%s: %s" % (name, error.message.decode("utf-8", "replace")) if error.message else name)
    return status


@LogFn
def log_line(_user_data, level, target, message):
    # On a thread of the plugin. An exception does not pass ctypes, which reports it on standard error. Kept as a
    # global: the plugin may call it until esp_close has answered OK, and a collected callback is a crash.
    os.write(2, b"%d %s: %s\n" % (level, bytes(target), bytes(message)))


def records(batch):
    """The records of a batch, by its stride: those of a newer plugin may be longer than Record."""
    for at in range(batch.record_count):
        yield Record.from_address(batch.records + at * batch.record_stride)


def print_record(record):
    head = [record.kind, record.sequence, bytes(record.key).decode(), bytes(record.type_).decode()]
    sys.stdout.buffer.write(b"%s %s\n" % (" ".join(map(json.dumps, head)).encode(), bytes(record.body)))


def stats(library, source):
    """The plugin's statistics, JSON; asked for with a growing buffer, since their length may change between two calls."""
    text, error = sized(Text), sized(Error)
    while True:
        buffer = ctypes.create_string_buffer(max(text.length, 1))
        text.data, text.capacity = ctypes.cast(buffer, c_void_p), len(buffer)
        status = library.esp_stats(source, byref(text), byref(error))
        if status != SHORT_BUFFER:
            succeed(library, status, error)
            return buffer.raw[:text.length]


def run(library, source, max_records, stop):
    count, draining = 0, False
    limits, error = sized(Limits, wait_ms=WAIT_MS), sized(Error)
    while True:
        if (stop or 0 < max_records <= count) and not draining:
            draining = True
            library.esp_drain(source, DRAIN_MS)
        batch = POINTER(Batch)()
        status = succeed(library, library.esp_next_batch(source, byref(limits), byref(batch), byref(error)), error)
        if status == END:
            return
        if status != OK:
            continue  # TIMEOUT, INTERRUPTED, or a status newer than this host: pull again
        try:
            for record in records(batch.contents):
                print_record(record)
            count += batch.contents.record_count
            sys.stdout.buffer.flush()  # what has been printed counts as durable here
            succeed(library, library.esp_commit(source, batch.contents.last_sequence, byref(error)), error)
        finally:
            library.esp_batch_release(batch)


def pull(path, config_path, max_records, stop):
    library = load(path)
    with open(config_path, "rb") as file:
        config = file.read()
    args = sized(OpenArgs, config=Str(ctypes.cast(c_char_p(config), c_void_p), len(config)), log=log_line)
    source, error = c_uint64(), sized(Error)
    succeed(library, library.esp_open(byref(args), byref(source), byref(error)), error)
    try:
        run(library, source, max_records, stop)
        os.write(2, b"stats %s\n" % stats(library, source))  # one write, since log lines may come meanwhile
    finally:
        if library.esp_close(source, CLOSE_MS) == TIMEOUT:
            # a thread is left that may still log, and the interpreter must not be taken down under it
            os.write(2, ("%s, and did not close in time\n" % (sys.exc_info()[1] or "drained")).encode())
            os._exit(1)


def layout():
    structs = {struct.__name__: [size, {name: getattr(struct, name).offset for name, *_ in struct._fields_}]
               for struct, size in SIZES.items()}
    statuses = {name: globals()[name] for name in ("OK", "TIMEOUT", "END", "INTERRUPTED", "SHORT_BUFFER")}
    print(json.dumps({"abi_major": ABI_MAJOR, "structs": structs, "statuses": statuses, "functions": list(FUNCTIONS)}))


def main(arguments):
    if arguments == ["--layout"]:
        return layout()
    if len(arguments) not in (2, 3) or not all(number.isdigit() for number in arguments[2:]):
        print("usage: pull.py PLUGIN.so CONFIG.json [MAX_RECORDS]", file=sys.stderr)
        return 64
    # Handlers that only note the signal: KeyboardInterrupt could otherwise fall between a pull and its commit.
    stop = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: stop.append(number))
    try:
        pull(arguments[0], arguments[1], int(arguments[2]) if arguments[2:] else 0, stop)
    except (Failure, OSError) as failure:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what could not be printed would fail once more at exit
        print(str(failure).splitlines()[0], file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
