"""An HTTP/1.1 client for tests: keeps exactly what was received, hides no failure."""

import http.client
import json
import socket
import time

DEADLINE_S = 60.0  # when a test gives up


class HttpsAddress(str):
    """An address at which HTTPS is spoken; `tls` is the ssl.SSLContext to do it with."""

    def __new__(cls, address, tls):
        made = super().__new__(cls, address)
        made.tls = tls
        return made


class Reply:
    """A complete reply. `is_cut`: the connection ended before the body did."""

    def __init__(self, status, header_pairs, body, is_cut=False):
        self.status = status
        self.header_pairs = [(name.lower(), value) for name, value in header_pairs]
        self.body = body
        self.is_cut = is_cut

    def header(self, name):
        """The only value of `name`, or None; a repeated header is an error."""
        values = [value for key, value in self.header_pairs if key == name]
        assert len(values) <= 1, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None

    def text(self):
        return self.body.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.body)

    def error(self):
        """The OpenAI error object, after checking that every SDK can read it."""
        assert self.header("content-type").split(";")[0] == "application/json"
        error = self.json()["error"]
        assert isinstance(error["message"], str) and error["message"]
        assert isinstance(error["type"], str) and error["type"]
        assert {"param", "code"} <= set(error)
        return error

    def kind(self):
        return self.header("x-candor-error")

    def wait_ms(self):
        """The wait told by retry-after-ms, after checking that retry-after says the same."""
        wait_ms = int(self.header("retry-after-ms"))
        assert wait_ms > 0
        assert int(self.header("retry-after")) == -(-wait_ms // 1000)
        return wait_ms

    def events(self):
        """The data of every event of a stream, as text."""
        return parse_events(self.body)

    def __repr__(self):
        return f"<{self.status} {dict(self.header_pairs)} {self.text()[:2000]}>"


def parse_events(data):
    blocks = data.decode("utf-8", "replace").replace("\r\n", "\n").split("\n\n")
    found = []
    for block in blocks:
        lines = [line[5:].lstrip() for line in block.split("\n") if line.startswith("data:")]
        if lines:
            found.append("\n".join(lines))
    return found


def get(address, path, headers=None):
    return exchange(address, "GET", path, headers=headers)


def post(address, path, body, headers=None):
    return exchange(address, "POST", path, body, headers)


def exchange(address, method, path, body=None, headers=None):
    """One request on a connection of its own, read to the end."""
    stream = open_stream(address, path, body, headers, method)
    with stream:
        return stream.read_all()


def open_stream(address, path, body=None, headers=None, method="POST", on_sent=lambda: None):
    """Sends the request, calls `on_sent` and reads the reply's head."""
    payload = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    if isinstance(address, HttpsAddress):
        connection = http.client.HTTPSConnection(address, timeout=DEADLINE_S, context=address.tls)
    else:
        connection = http.client.HTTPConnection(address, timeout=DEADLINE_S)
    usual = {} if payload is None else {"content-type": "application/json"}
    connection.request(method, path, payload, {**usual, **(headers or {})})
    on_sent()
    return Stream(connection, connection.getresponse())


class Stream:
    """A reply whose body is read by and by. Leaving the `with` closes the connection."""

    def __init__(self, connection, response):
        self._connection = connection
        self._response = response
        self.status = response.status
        self.header_pairs = response.getheaders()

    def read_some(self):
        """The next bytes, as soon as there are any; empty at the end."""
        return self._response.read1(65536)

    def read_until(self, wanted):
        """Everything up to and with the piece in which the bytes `wanted` appear."""
        seen = b""
        until = time.monotonic() + DEADLINE_S
        while wanted not in seen:
            piece = self.read_some()
            assert piece and time.monotonic() < until, f"{wanted} never came, only {seen}"
            seen += piece
        return seen

    def read_all(self):
        body, is_cut = b"", False
        try:
            while piece := self.read_some():
                body += piece
            is_cut = self._response.length not in (None, 0)
        except (http.client.IncompleteRead, ConnectionError) as error:
            body += getattr(error, "partial", b"")
            is_cut = True
        return Reply(self.status, self.header_pairs, body, is_cut)

    def close(self):
        self._response.close()
        self._connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class RawConnection:
    """A socket, for what no HTTP client would send."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), DEADLINE_S)
        if isinstance(address, HttpsAddress):
            self.socket = address.tls.wrap_socket(
                self.socket, server_hostname=host, suppress_ragged_eofs=False
            )

    def send(self, data):
        """Sends as much as the other side takes; a closed connection is no error here."""
        try:
            self.socket.sendall(data)
        except ConnectionError:
            pass

    def read_reply(self):
        """The next reply, or None when the connection was closed without one."""
        response = http.client.HTTPResponse(self.socket)
        try:
            response.begin()
            return Reply(response.status, response.getheaders(), response.read())
        except (http.client.HTTPException, ConnectionError):
            return None

    def read_all(self):
        """Everything until the peer closes."""
        data = b""
        try:
            while piece := self.socket.recv(65536):
                data += piece
        except ConnectionError:
            pass
        return data

    def is_closed_by_peer(self):
        """Waits until the peer closes; False when it sends more instead."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
