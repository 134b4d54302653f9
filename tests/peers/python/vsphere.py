"""What a vCenter holds, read with VMware's own Python SDK: its events or its sessions as JSON lines;
or as many event collectors as it allows, left behind."""

import argparse
import json
from urllib.parse import urlsplit

from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["events", "sessions", "collectors"])
    parser.add_argument("url")
    parser.add_argument("username")
    parser.add_argument("password")
    arguments = parser.parse_args()
    url = urlsplit(arguments.url)
    service = SmartConnect(
        protocol=url.scheme,
        host=url.hostname,
        port=url.port,
        user=arguments.username,
        pwd=arguments.password,
        disableSslCertValidation=True,
    )
    try:
        content = service.RetrieveContent()
        what = {"events": events, "sessions": sessions, "collectors": collectors}[arguments.what]
        for line in what(content):
            print(json.dumps(line))
    finally:
        Disconnect(service)


def events(content):
    """All events that the collector still has, oldest first."""
    collector = content.eventManager.CreateCollectorForEvents(vim.event.EventFilterSpec())
    try:
        # a new collector of vcsim stands before its first event; after a rewind it would skip it
        while page := collector.ReadNextEvents(1000):
            for event in page:
                yield {
                    "key": event.key,
                    "type": getattr(event, "eventTypeId", None) or type(event).__name__.split(".")[-1],
                    "time": event.createdTime.isoformat(),
                    "vm": event.vm.name if event.vm else None,
                }
    finally:
        collector.DestroyCollector()


def sessions(content):
    """The sessions of others."""
    own = content.sessionManager.currentSession.key
    for session in content.sessionManager.sessionList:
        if session.key != own:
            yield {"user": session.userName, "agent": session.userAgent, "address": session.ipAddress}


def collectors(content):
    """How many could be made until the limit, which real vCenter sets to 32 by default."""
    for made in range(1000):
        try:
            content.eventManager.CreateCollectorForEvents(vim.event.EventFilterSpec())
        except vim.fault.InvalidState:
            yield {"made": made}
            return


if __name__ == "__main__":
    main()
