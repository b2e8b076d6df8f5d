"""A toy gateway that lies, to see that the suite can fail. It passes requests on to the provider
byte for byte, and answers by one of LIES.
"""

import http.server
import json
import threading

from . import raw_client
from .target import Gateway

PROVIDER_DEADLINE_S = 5.0
POLL_S = 0.02  # how soon `stop` is noticed
HELLO = {"role": "assistant", "content": ""}
ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "choices": [{"index": 0, "message": HELLO, "finish_reason": "stop"}],
}


class Answer:
    """What the toy says to its client."""

    def __init__(self, reply):
        """Honest so far: what came from the provider, its status and the headers about time."""
        self.status = reply.status or 502
        self.is_stream = reply.is_event_stream()
        self.is_cut = reply.is_cut
        self.body = reply.body or b'{"error": {"message": "no answer", "type": "server_error"}}'
        self.headers = {
            name: value for name, value in reply.header_pairs if name.startswith("retry-after")
        }

    def is_failure(self):
        return self.status >= 400


def pass_on(_answer):
    """No lie, no merit either: the provider's failures as they are."""


def call_everything_success(answer):
    """200 for what failed, and every stream ends as if it were complete."""
    if answer.is_failure():
        answer.body = json.dumps(ANSWER).encode()
    if answer.is_stream and not answer.body.endswith(b"[DONE]\n\n"):
        answer.body = answer.body.rpartition(b"\n\n")[0] + b"\n\ndata: [DONE]\n\n"
    answer.status, answer.headers, answer.is_cut = 200, {}, False


def blame_the_caller(answer):
    """400 for whatever failed."""
    if answer.is_failure():
        error = {"message": "Bad request.", "type": "invalid_request_error"}
        answer.status, answer.headers = 400, {}
        answer.body = json.dumps({"error": error}).encode()


def hurry(answer):
    """Everything may be tried again at once."""
    if answer.is_failure():
        answer.headers = {"retry-after": "0", "x-should-retry": "true"}


class Forgetful:
    """Tells the true wait of the first failure, and then still refuses."""

    def __init__(self):
        self._headers = None

    def __call__(self, answer):
        if answer.is_failure():
            self._headers = answer.headers
        elif self._headers:
            error = {"message": "Wait.", "type": "requests"}
            answer.status, answer.headers = 429, self._headers
            answer.body = json.dumps({"error": error}).encode()


def say_html(answer):
    """True statuses, and a page that no client can read."""
    if answer.is_failure():
        answer.body = b"<html><body>Something went wrong.</body></html>"


def fall_silent(answer):
    """A broken stream just ends, orderly and without a word."""
    if answer.is_stream:
        kept = [b for b in answer.body.split(b"\n\n")[:-1] if b"error" not in b]
        answer.body, answer.is_cut = b"".join(block + b"\n\n" for block in kept), False


class Liar(Gateway):
    """Listens from construction to `stop`, on loopback."""

    waits_for_provider_s = PROVIDER_DEADLINE_S

    def __init__(self, provider_address, lie):
        provider = f"http://{provider_address}"
        self._server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0),
            type("Handler", (_Handler,), {"provider": provider, "lie": staticmethod(lie)}),
        )
        super().__init__("http://127.0.0.1:%d" % self._server.server_port)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(POLL_S,), daemon=True
        )
        self._thread.start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    provider = None
    lie = None

    def do_POST(self):
        request = self.rfile.read(int(self.headers["content-length"]))
        names = ("content-type", "x-api-key", "anthropic-version")
        headers = {name: self.headers[name] for name in names if name in self.headers}
        reply = raw_client.post(self.provider, self.path, request, headers, PROVIDER_DEADLINE_S)
        answer = Answer(reply)
        self.lie(answer)
        self._send(answer)

    def _send(self, answer):
        self.send_response(answer.status)
        kind = "text/event-stream" if answer.is_stream else "application/json"
        # More announced than sent: the client sees that the connection broke.
        length = len(answer.body) + (1 if answer.is_cut else 0)
        usual = {"content-type": kind, "content-length": str(length), "connection": "close"}
        for name, value in {**usual, **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)
        self.close_connection = True

    def log_message(self, *_):
        pass
