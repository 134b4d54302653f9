"""One HTTP message to one CloudEvent by the official SDK, without its leniency.

Version 2 of the SDK invents `id`, `specversion` and `time` where a message lacks them. What the
sender left out must not pass here.
"""

import json

from cloudevents.core.bindings.http import HTTPMessage, from_http_event

REQUIRED = ("specversion", "id", "source", "type")


def is_structured(headers):
    """The content mode, judged by the media type as the HTTP binding says (section 3)."""
    types = [value for name, value in headers.items() if name.lower() == "content-type"]
    return bool(types) and types[0].lower().startswith("application/cloudevents")


def parse(headers, body):
    """The event; raises whatever is wrong with the message."""
    if is_structured(headers):
        sent = json.loads(body)
        mixed = [name for name in headers if name.lower().startswith("ce-")]
        if mixed:
            raise ValueError(f"structured message with attributes in headers: {mixed}")
    else:
        sent = {name.lower().removeprefix("ce-") for name in headers if name.lower().startswith("ce-")}
    missing = [name for name in REQUIRED if name not in sent]
    if missing:
        raise ValueError(f"required attributes not sent: {missing}")
    event = from_http_event(HTTPMessage(headers, body))
    for name in set(event.get_attributes()) - set(sent) - {"datacontenttype"}:
        del event.get_attributes()[name]
    return event
