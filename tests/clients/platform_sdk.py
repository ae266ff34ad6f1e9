"""Asks a simulator through the vendor's Python SDK and prints what the SDK made of the answers.

    platform_sdk.py channels
    platform_sdk.py topics ALLOWED FURTHER FORBIDDEN COMBINED
    platform_sdk.py directory PAGE_SIZE
    platform_sdk.py history INTERVAL QUEUE_ID

Configured by the SDK's documented settings alone: `configuration.host` from API_URL, `configuration.ssl_ca_cert` from
CA_FILE; CLIENT_ID and CLIENT_SECRET log in. One line of JSON on standard output; refusals of the service are part of it,
any other exception is a failure. It asserts nothing: the Rust test that started it does.
"""

import json
import os
import sys

import PureCloudPlatformClientV2 as sdk
from PureCloudPlatformClientV2.rest import ApiException

sdk.configuration.host = os.environ["API_URL"]
sdk.configuration.ssl_ca_cert = os.environ["CA_FILE"]


def log_in(secret=None):
    client = sdk.api_client.ApiClient()
    secret = os.environ["CLIENT_SECRET"] if secret is None else secret
    return client.get_client_credentials_token(os.environ["CLIENT_ID"], secret)


def plain(client, value):
    """What the SDK holds, by the names of the wire; times as Python prints them, to show that they are times."""
    if isinstance(value, list):
        return [plain(client, item) for item in value]
    return client.sanitize_for_serialization(value)


def refused(call, *arguments, **named):
    """How the service refuses a call, as the SDK tells it."""
    try:
        call(*arguments, **named)
    except ApiException as error:
        body = json.loads(error.body) if error.body else None
        return {"status": error.status, "body": body, "correlated": "ININ-Correlation-Id" in error.headers}
    return {"status": 200}


def topic(name):
    wanted = sdk.ChannelTopic()
    wanted.id = name
    return wanted


def channels():
    """Login, right and wrong; channels: created, listed, there and not there; the rate limit's headers."""
    wrong = refused(log_in, "wrong")
    client = log_in()
    api = sdk.NotificationsApi(client)
    first, second = api.post_notifications_channels(), api.post_notifications_channels()
    headers = client.last_response.getheaders()
    api.head_notifications_channel(first.id)
    other = sdk.NotificationsApi(log_in())
    return {
        "wrongSecret": wrong,
        "created": plain(client, [first, second]),
        "expires": type(first.expires).__name__,
        "headers": {name: headers.get(name) for name in headers if name.lower().startswith("inin-")},
        "listed": plain(client, api.get_notifications_channels().entities),
        "ofToken": plain(client, other.get_notifications_channels(includechannels="token").entities),
        "ofClient": plain(client, other.get_notifications_channels(includechannels="oauthclient").entities),
        "gone": refused(api.head_notifications_channel, "streaming-0-gone"),
    }


def topics(allowed, further, forbidden, combined):
    """Topics of a channel: put, added, read, cleared; forbidden ones; and which topics there are."""
    client = log_in()
    api = sdk.NotificationsApi(client)
    channel = api.post_notifications_channels().id
    names = lambda listing: plain(client, listing.entities)
    subscribed = lambda: [entity.id for entity in api.get_notifications_channel_subscriptions(channel).entities]
    put = names(api.put_notifications_channel_subscriptions(channel, [topic(allowed)]))
    posted = names(api.post_notifications_channel_subscriptions(channel, [topic(further)]))
    both = subscribed()
    strict = refused(api.put_notifications_channel_subscriptions, channel, [topic(allowed), topic(forbidden)])
    unchanged = subscribed()
    lenient = names(
        api.put_notifications_channel_subscriptions(
            channel, [topic(allowed), topic(forbidden), topic(combined)], ignore_errors=True
        )
    )
    replaced = subscribed()
    api.delete_notifications_channel_subscriptions(channel)
    expand = ["description", "requiresPermissions", "permissionDetails", "transports", "visibility", "enforced"]
    expand += ["schema", "topicParameters", "publicApiTemplateUriPaths"]
    return {
        "put": put,
        "posted": posted,
        "both": both,
        "strict": strict,
        "unchanged": unchanged,
        "lenient": lenient,
        "replaced": replaced,
        "cleared": subscribed(),
        "gone": refused(api.get_notifications_channel_subscriptions, "streaming-0-gone"),
        "available": names(api.get_notifications_availabletopics(expand=expand, include_preview=True)),
        "unexpanded": names(api.get_notifications_availabletopics()),
    }


def directory(page_size):
    """Queues and their members page by page, one queue by name, users, and the call that needs a user."""
    client = log_in()
    routing, people = sdk.RoutingApi(client), sdk.UsersApi(client)
    queues, pages = [], 0
    while True:
        page = routing.get_routing_queues(page_size=int(page_size), page_number=pages + 1)
        queues += page.entities
        pages += 1
        if pages >= page.page_count:
            break
    members = {}
    for queue in queues:
        members[queue.id], number = [], 1
        while True:
            page = routing.get_routing_queue_members(queue.id, page_size=int(page_size), page_number=number)
            members[queue.id] += page.entities
            if page.next_uri is None:
                break
            number += 1
    users = people.get_users(page_size=500)
    return {
        "queues": plain(client, queues),
        "queuePages": pages,
        "descending": plain(client, routing.get_routing_queues(sort_order="desc").entities),
        "members": {queue: plain(client, entities) for queue, entities in members.items()},
        "named": plain(client, routing.get_routing_queues(name=queues[0].name).entities),
        "one": plain(client, routing.get_routing_queue(queues[0].id)),
        "users": plain(client, users.entities),
        "userTotal": users.total,
        "me": refused(people.get_users_me),
        "noQueue": refused(routing.get_routing_queue, "00000000-0000-4000-8000-000000000000"),
        "pageTooLarge": refused(routing.get_routing_queues, page_size=501),
    }


def history(interval, queue):
    """The details of conversations of an interval, page by page: all, those of a queue, those on a wrong page."""
    client = log_in()
    api = sdk.ConversationsApi(client)

    def query(number, size, of_queue=None):
        wanted = sdk.ConversationQuery()
        wanted.interval, wanted.order, wanted.order_by = interval, "asc", "conversationStart"
        wanted.paging = sdk.PagingSpec()
        wanted.paging.page_number, wanted.paging.page_size = number, size
        if of_queue:
            predicate = sdk.SegmentDetailQueryPredicate()
            predicate.type, predicate.dimension = "dimension", "queueId"
            predicate.operator, predicate.value = "matches", of_queue
            limits = sdk.SegmentDetailQueryFilter()
            limits.type, limits.predicates = "and", [predicate]
            wanted.segment_filters = [limits]
        return wanted

    found, number = [], 1
    while True:
        page = api.post_analytics_conversations_details_query(query(number, 100))
        if page.conversations is None:
            break
        found += page.conversations
        number += 1
    of_queue = api.post_analytics_conversations_details_query(query(1, 100, queue))
    return {
        "totalHits": page.total_hits,
        "conversations": plain(client, found),
        "starts": sorted({type(conversation.conversation_start).__name__ for conversation in found}),
        "ofQueue": plain(client, of_queue.conversations),
        "tooMany": refused(api.post_analytics_conversations_details_query, query(1, 101)),
    }


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
