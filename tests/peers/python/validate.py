"""Reads CloudEvents from standard input, one JSON text a line, and has the official SDK parse each.

Prints how many were valid. The first that the SDK refuses ends it with exit code 1.
"""

import sys

from strict import parse

count = 0
for count, line in enumerate(sys.stdin.buffer, start=1):
    try:
        parse({"content-type": "application/cloudevents+json"}, line)
    except Exception as error:
        sys.exit(f"line {count}: {type(error).__name__}: {error}: {line.decode(errors='replace').strip()}")
print(count)
