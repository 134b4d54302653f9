"""A name server that knows one address for every name: 127.0.0.1.

It listens on the address that is its argument, port 53, says so on standard output, and ends when its
standard input ends.
"""

import socket
import struct
import sys
import threading

TYPE_A = 1


def main():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((sys.argv[1], 53))
    threading.Thread(target=serve, args=[server], daemon=True).start()
    print("listening", flush=True)
    sys.stdin.read()


def serve(server):
    while True:
        query, client = server.recvfrom(512)
        server.sendto(answer(query), client)


def answer(query):
    """The answer to a query of one question, as RFC 1035 section 4 has it."""
    end = query.index(b"\0", 12) + 5
    question = query[12:end]
    (kind,) = struct.unpack("!H", question[-4:-2])
    # a pointer to the question's name, type, class, 60 s, four bytes
    records = [struct.pack("!HHHIH", 0xC00C, TYPE_A, 1, 60, 4) + socket.inet_aton("127.0.0.1")] * (kind == TYPE_A)
    header = query[:2] + struct.pack("!HHHHH", 0x8580, 1, len(records), 0, 0)
    return header + question + b"".join(records)


if __name__ == "__main__":
    main()
