"""Runs the webhook plugin of Event-Driven Ansible and prints what it puts on its queue.

Usage: webhook.py TOKEN HMAC_SECRET

The first line of standard output is {"url": ...}, each other one an event. It ends when standard input
does.
"""

import asyncio
import json
import socket
import sys

from ansible_rulebook.event_source import webhook


class Printer:
    """In place of the rule engine."""

    async def put(self, event):
        print(json.dumps(event["payload"]), flush=True)


async def serve(token, secret):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = {"host": "127.0.0.1", "port": port, "token": token, "hmac_secret": secret}
    plugin = asyncio.create_task(webhook.main(Printer(), arguments))
    while not plugin.done():
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.01)
            continue
        writer.close()
        print(json.dumps({"url": f"http://127.0.0.1:{port}"}), flush=True)
        break
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await asyncio.wait([plugin, ended], return_when=asyncio.FIRST_COMPLETED)
    plugin.cancel()


asyncio.run(serve(sys.argv[1], sys.argv[2]))
