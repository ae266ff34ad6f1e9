"""Listens to a channel of a simulator with the independent client `genesys-notifications`, and prints what it heard.

    listen.py hear TOPIC...         until a body holds {"last": true}; detail topics of each conversation seen are added
    listen.py follow TOPIC...       the same, but rolls over to a new channel when the service announces its close
    listen.py refuse URI TOPIC...   connects to URI and says how that is refused

The channel is created by the vendor's SDK. One line of JSON on standard output. It asserts nothing: the Rust test that
started it does.

The client's own code runs unchanged but for one thing: its iterator hands a coroutine to `asyncio.wait`, which Python
refuses since 3.11, so `recv` of the connection is made to return a task.
"""

import asyncio
import json
import logging
import re
import sys

import genesys_notifications
from genesys_notifications.exceptions import ChannelException, ChannelExpiring
from platform_sdk import log_in, sdk

DETAILS = ["customer", "user", "acd", "flow"]
SNAPSHOT = re.compile(r"^v2\.routing\.queues\.[^.]+\.conversations$")


class Connection:
    """A connection whose `recv` is a task; everything else is the library's."""

    def __init__(self, real):
        self.real = real

    def __getattr__(self, name):
        return getattr(self.real, name)

    def recv(self):
        return asyncio.ensure_future(self.real.recv())


class Channel(genesys_notifications.Channel):
    async def connect(self):
        await super().connect()
        self._connection = Connection(self._connection)


class Said(logging.Handler):
    """Keeps what the client logs above its debug level, which repeats each frame."""

    def __init__(self):
        super().__init__(logging.INFO)
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


def logger(said):
    made = logging.Logger("channel")
    made.addHandler(said)
    return made


async def listen(topics, roll_over):
    said, heard, closing, followed = Said(), [], 0, set()
    api = sdk.NotificationsApi(log_in())
    channel = Channel(api.post_notifications_channels().connect_uri, topics, logger=logger(said))
    await channel
    await channel._connection.send(json.dumps({"message": "ping"}))
    while True:
        try:
            message = await anext(channel)
        except ChannelExpiring:
            closing += 1
            if not roll_over:
                raise
            await channel.rollover(api.post_notifications_channels().connect_uri)
            continue
        heard.append(message)
        body = message.get("eventBody", {})
        if body.get("last"):
            break
        if SNAPSHOT.match(message["topicName"]) and body["id"] not in followed:
            followed.add(body["id"])
            prefix = "v2.detail.events.conversation." + body["id"]
            channel._topics = topics + [f"{prefix}.{of}.{at}" for of in DETAILS for at in ("start", "end")]
            channel._topics += [f"{prefix}.acw", f"{prefix}.wrapup", f"v2.conversations.{body['id']}.transcription"]
            await channel.subscribe()
    await channel.close()
    return {"heard": heard, "said": said.lines, "closing": closing, "rollovers": channel._rollovers}


async def refuse(uri, topics):
    said = Said()
    try:
        channel = Channel(uri, topics, logger=logger(said))
        await channel
        message = await anext(channel)
        return {"heard": message}
    except ChannelException as error:
        return {
            "error": type(error).__name__,
            "reason": error.reason.name,
            "cause": type(error.original).__name__,
            "message": error.message,
        }


if __name__ == "__main__":
    verb, arguments = sys.argv[1], sys.argv[2:]
    if verb == "refuse":
        outcome = refuse(arguments[0], arguments[1:])
    else:
        outcome = listen(arguments, verb == "follow")
    print(json.dumps(asyncio.run(outcome)))
