"""HTTP/1.1 on raw streams, low enough to misbehave.

`Incoming` reads requests and notices when the peer leaves; `Outgoing` writes no faster than the
peer reads, and can end a connection in every way TCP knows.
"""

import dataclasses
import socket
import struct

MAX_HEAD_BYTES = 1 << 20
MAX_BODY_BYTES = 256 << 20
READ_BYTES = 1 << 16


class BadRequest(Exception):
    """What arrived is not HTTP/1.1 that this server understands."""


@dataclasses.dataclass
class Request:
    method: str
    target: str  # path and query as sent
    headers: list  # of (name as sent, value)
    body: bytes

    def header(self, name):
        """The first value of `name` (any case), or an empty string."""
        return next((v for k, v in self.headers if k.lower() == name.lower()), "")


class Incoming:
    """The reading side of one connection, with its own buffer: bytes seen while waiting for the
    peer to leave are kept for the next request."""

    def __init__(self, reader):
        self._reader = reader
        self._buffer = bytearray()

    async def read_request(self):
        """The next request, or None when the peer closed between requests.

        Raises BadRequest, or ConnectionError when the peer left in the middle."""
        head = await self._read_head()
        if head is None:
            return None
        lines = head.decode("latin-1").split("\r\n")
        parts = lines[0].split(" ")
        if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
            raise BadRequest(f"request line {lines[0][:80]!r}")
        headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon or name != name.strip():
                raise BadRequest(f"header line {line[:80]!r}")
            headers.append((name, value.strip()))
        request = Request(parts[0], parts[1], headers, b"")
        request.body = await self._read_body(request)
        return request

    async def wait_until_peer_leaves(self):
        """Returns once the peer has closed or reset the connection."""
        try:
            while await self._fill():
                pass
        except ConnectionError:
            pass

    async def _fill(self):
        data = await self._reader.read(READ_BYTES)
        self._buffer += data
        return bool(data)

    async def _read_head(self):
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise BadRequest("head too large")
            if not await self._fill():
                if self._buffer:
                    raise ConnectionResetError("peer left inside a request head")
                return None
        head = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        return head

    async def _read_body(self, request):
        if "chunked" in request.header("transfer-encoding").lower():
            return await self._read_chunks()
        return await self._take(self._number(request.header("content-length") or "0", 10))

    async def _read_chunks(self):
        body = bytearray()
        while True:
            size = self._number((await self._take_line()).split(b";")[0].decode("latin-1"), 16)
            if size == 0:
                while await self._take_line():
                    pass
                return bytes(body)
            if len(body) + size > MAX_BODY_BYTES:
                raise BadRequest("body too large")
            body += await self._take(size)
            if await self._take(2) != b"\r\n":
                raise BadRequest("chunk without its end")

    async def _take(self, count):
        if count > MAX_BODY_BYTES:
            raise BadRequest("body too large")
        while len(self._buffer) < count:
            if not await self._fill():
                raise ConnectionResetError("peer left inside a request body")
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    async def _take_line(self):
        while (end := self._buffer.find(b"\r\n")) < 0:
            if not await self._fill():
                raise ConnectionResetError("peer left inside a chunked body")
        return (await self._take(end + 2))[:-2]

    @staticmethod
    def _number(text, base):
        try:
            return int(text.strip(), base)
        except ValueError:
            raise BadRequest(f"length {text[:40]!r}") from None


class Outgoing:
    """The writing side of one connection. `send` returns when the kernel has taken everything, so
    a peer that does not read holds it."""

    def __init__(self, writer):
        self._writer = writer
        # 1, not 0: with 0 a TLS transport of asyncio pauses for ever.
        writer.transport.set_write_buffer_limits(high=1)

    async def send(self, data):
        """Raises ConnectionError when the peer has left."""
        self._writer.write(data)
        await self._writer.drain()

    def close(self):
        """An orderly end (FIN)."""
        self._writer.close()

    def reset(self):
        """An abortive end (RST): what the kernel still holds is thrown away."""
        raw = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    529: "Overloaded",
}


def render_head(status, headers):
    """Status line and header lines, the empty line included. `headers` is a list of pairs."""
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def render_chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
