"""The suite's side of the client: one request, and exactly what came back."""

import http.client
import json
import ssl
import time
import urllib.parse


class Reply:
    """What came back. `status` is None when nothing did; `trouble` then says why.

    `is_cut`: the connection broke inside the body. `is_late`: the deadline passed first."""

    def __init__(self):
        self.status = None
        self.header_pairs = []
        self.body = b""
        self.trouble = ""
        self.is_cut = False
        self.is_late = False
        self.received_at = 0.0  # unix time of the status line

    def header(self, name):
        """The first value of `name`, in lower case, or None."""
        return next((value for key, value in self.header_pairs if key == name), None)

    def text(self):
        return self.body.decode("utf-8", "replace")

    def json(self):
        """The body as JSON, or None when it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def is_event_stream(self):
        return (self.header("content-type") or "").startswith("text/event-stream")

    def events(self):
        """(name, data) of every complete event; the name is "" where none was given."""
        blocks = self.text().replace("\r\n", "\n").split("\n\n")[:-1]
        found = []
        for block in blocks:
            fields = [line.partition(":")[::2] for line in block.split("\n")]
            data = [value.removeprefix(" ") for key, value in fields if key == "data"]
            names = [value.strip() for key, value in fields if key == "event"]
            if data:
                found.append((names[-1] if names else "", "\n".join(data)))
        return found


def post(base_url, path, body, headers, deadline_s):
    """POSTs `body` (bytes) to a connection of its own and reads the reply to its end. Never raises:
    what went wrong is in the reply."""
    url = urllib.parse.urlsplit(base_url)
    make = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    options = {"context": ssl.create_default_context()} if url.scheme == "https" else {}
    connection = make(url.netloc, timeout=deadline_s, **options)
    reply = Reply()
    until = time.monotonic() + deadline_s
    try:
        connection.request("POST", url.path.rstrip("/") + path, body, headers)
        response = connection.getresponse()
        reply.received_at = time.time()
        reply.status = response.status
        reply.header_pairs = [(key.lower(), value) for key, value in response.getheaders()]
        _read_body(connection, response, reply, until)
    except TimeoutError:
        reply.is_late = True
    except (OSError, http.client.HTTPException) as error:
        reply.is_cut = reply.status is not None
        reply.body += getattr(error, "partial", b"")
        reply.trouble = f"{type(error).__name__}: {error}"
    finally:
        connection.close()
    return reply


def _read_body(connection, response, reply, until):
    while True:
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        if connection.sock:
            connection.sock.settimeout(left_s)
        piece = response.read1(65536)
        if not piece:
            break
        reply.body += piece
    reply.is_cut = response.length not in (None, 0)
