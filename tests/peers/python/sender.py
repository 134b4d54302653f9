"""A sender on the official Python SDK.

It posts one event in each mode that the SDK has to the address in its argument, and prints a JSON line
with mode and status for each answer.
"""

import json
import sys
import urllib.request
from datetime import datetime, timezone

from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent


def happened(number):
    attributes = {
        "specversion": "1.0",
        "id": number,
        "source": "https://sender.example.com/python",
        "type": "com.example.happened",
        "subject": "thing-1",
        "dataschema": "https://sender.example.com/schema",
        "time": datetime(2026, 1, 2, 3, 4, 5, 600000, tzinfo=timezone.utc),
        "site": "berlin",
        "number": 7,
        "datacontenttype": "application/json",
    }
    return CloudEvent(attributes, {"text": "a <b> ü \n"})


for mode, convert in (("binary", to_binary_event), ("structured", to_structured_event)):
    message = convert(happened(f"python-{mode}"))
    request = urllib.request.Request(sys.argv[1], data=message.body, headers=message.headers, method="POST")
    with urllib.request.urlopen(request) as answer:
        print(json.dumps({"mode": mode, "status": answer.status}))
