"""Reads frames, one a line on standard input, with the classes that the vendor generated from its own schemas.

Prints one line of JSON: how many frames of each class were read, the classes that read none, the topics without a class,
each member that the class does not have, and each value that its enumerations do not have. It asserts nothing: the Rust
test that started it does.
"""

import json
import re
import sys

import PureCloudPlatformClientV2 as sdk

MEDIA = {"calls": "Call", "callbacks": "Callback", "chats": "Chat", "emails": "Email", "messages": "Message"}
# what a generated setter puts in place of a value that its enumeration does not have
UNKNOWN = "outdated_sdk_version"

CLASSES = [
    (r"v2\.routing\.queues\.[^.]+\.conversations", "QueueConversationEventTopicConversation"),
    (r"v2\.users\.[^.]+\.conversations", "ConversationEventTopicConversation"),
    (r"v2\.routing\.queues\.[^.]+\.users", "QueueUserEventTopicQueueMember"),
    (r"v2\.users\.[^.]+\.presence", "PresenceEventUserPresence"),
    (r"v2\.users\.[^.]+\.routingStatus", "UserRoutingStatusUserRoutingStatus"),
    (r"v2\.users\.[^.]+\.conversationsummary", "UserConversationsEventUserConversationSummary"),
    (r"v2\.analytics\.queues\.[^.]+\.observations", "StatEventQueueTopicStatsNotification"),
    (r"v2\.conversations\.[^.]+\.transcription", "TranscriptionTopicTranscriptionMessage"),
    (r"v2\.detail\.events\.conversation\.[^.]+\.acw", "AcwDetailEventTopicAfterCallWorkEvent"),
    (r"v2\.detail\.events\.conversation\.[^.]+\.wrapup", "WrapupDetailEventTopicWrapupEvent"),
]
for medium, name in MEDIA.items():
    kind = f"EventTopic{name}Conversation"
    CLASSES.append((rf"v2\.routing\.queues\.[^.]+\.conversations\.{medium}", f"QueueConversation{name}{kind}"))
    CLASSES.append((rf"v2\.users\.[^.]+\.conversations\.{medium}", f"Conversation{name}{kind}"))
for of in ["Customer", "User", "Acd", "Flow"]:
    for at in ["Start", "End"]:
        pattern = rf"v2\.detail\.events\.conversation\.[^.]+\.{of.lower()}\.{at.lower()}"
        CLASSES.append((pattern, f"{of}{at}DetailEventTopic{of}{at}Event"))


class Body:
    """An answer as the SDK's deserializer wants it."""

    def __init__(self, body):
        self.data = json.dumps(body)

    def getheader(self, _):
        return "application/json"


def compare(name, sent, read, found):
    """Walks what was sent beside what the class kept of it."""
    if isinstance(sent, dict) and hasattr(read, "attribute_map"):
        attributes = {wire: attribute for attribute, wire in read.attribute_map.items()}
        for key, value in sent.items():
            if key in attributes:
                compare(f"{name}.{key}", value, getattr(read, attributes[key]), found)
            else:
                found["members"].add(f"{name}.{key}")
    elif isinstance(sent, list) and isinstance(read, list):
        for one, other in zip(sent, read):
            compare(f"{name}[]", one, other, found)
    elif read == UNKNOWN:
        found["values"].add(f"{name}={sent}")


def main():
    client = sdk.api_client.ApiClient()
    counts, found = {}, {"members": set(), "values": set(), "topics": set()}
    for line in sys.stdin:
        frame = json.loads(line)
        topic = frame["topicName"]
        name = next((name for pattern, name in CLASSES if re.fullmatch(pattern, topic)), None)
        if name is None:
            found["topics"].add(topic)
            continue
        counts[name] = counts.get(name, 0) + 1
        compare(name, frame["eventBody"], client.deserialize(Body(frame["eventBody"]), name), found)
    unused = sorted(name for _, name in CLASSES if name not in counts)
    print(json.dumps({"counts": counts, "unused": unused, **{key: sorted(values) for key, values in found.items()}}))


if __name__ == "__main__":
    main()
