"""A CloudEvents sink on the official Python SDK.

Each request is parsed by the SDK as it comes in and appended to a file as one JSON line; then the
scripted answer is given. One JSON line on standard output says where it listens. It ends when its
standard input ends, so that a test that dies leaves nothing behind.
"""

import argparse
import json
import socket
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from strict import is_structured, parse


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", required=True, help="events are appended here, one JSON line each")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--tls", action="store_true", help="HTTPS, with a certificate authority of its own")
    parser.add_argument("--certificate", help="HTTPS, with the chain in this PEM file")
    parser.add_argument("--key", help="the key of the certificate, a PEM file")
    parser.add_argument("--client-ca", help="demand a client certificate that this PEM file's authority signed")
    parser.add_argument("--tls12", action="store_true", help="TLS 1.2 at most")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--status", default="", help="answers of the first requests, such as 503,429; then 204")
    parser.add_argument("--hang", action="store_true", help="take every request and never answer")
    arguments = parser.parse_args()

    server = Server(("127.0.0.1", arguments.port), Handler)
    server.arguments = arguments
    server.script = [int(status) for status in arguments.status.split(",") if status]
    server.lock = threading.Lock()
    started = {"url": f"http://127.0.0.1:{server.server_port}/"}
    if arguments.tls or arguments.certificate:
        if arguments.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            # Certificates of any age are presented: whether they are believed is the router's to say.
            context.set_ciphers("DEFAULT@SECLEVEL=0")
            context.load_cert_chain(arguments.certificate, arguments.key)
        else:
            context, started["certificate"] = tls_of("127.0.0.1")
        if arguments.client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(arguments.client_ca)
        if arguments.tls12:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        started["url"] = f"https://127.0.0.1:{server.server_port}/"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps(started), flush=True)
    sys.stdin.read()


def tls_of(name):
    """A server context with a new certificate for name, and the PEM of the authority that signed it."""
    import trustme

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context, authority.cert_pem.bytes().decode()


class Server(ThreadingHTTPServer):
    """One thread per connection; a long queue, since the router opens many at once."""

    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        """A router that stops closes connections in mid-flight: not worth a traceback."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, ssl.SSLError, TimeoutError)):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Takes CloudEvents by POST."""

    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_POST(self):
        body = self.read_body()
        received = time.time()
        record = {"received": received, "path": self.path, "headers": dict(self.headers.items())}
        try:
            event = parse(record["headers"], body)
            record["mode"] = "structured" if is_structured(record["headers"]) else "binary"
            record["attributes"] = {name: text(value) for name, value in event.get_attributes().items()}
            record["data"] = event.get_data() if not isinstance(event.get_data(), bytes) else None
            status = 204
        except Exception as error:  # whatever the SDK refuses is the test's finding
            record["refused"] = f"{type(error).__name__}: {error}"
            record["body"] = body.decode(errors="replace")
            status = 400
        with self.server.lock:
            if self.server.arguments.hang:
                status = 0
            elif self.server.script:
                status = self.server.script.pop(0)
            record["status"] = status
            with open(self.server.arguments.file, "a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        if self.server.arguments.hang:
            threading.Event().wait()
        time.sleep(self.server.arguments.delay)
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", "0")
        self.end_headers()

    def read_body(self):
        """The body, by length or in chunks."""
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, *arguments):
        """Silent: the file is the record."""


def text(value):
    return value if isinstance(value, str) else value.isoformat()


if __name__ == "__main__":
    main()
