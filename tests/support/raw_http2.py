"""As much of HTTP/2 as it takes to misuse a gRPC server: frames written by hand, none read unless
asked for."""

import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4
INITIAL_WINDOW = 4  # of SETTINGS
CANCEL = struct.pack(">I", 8)


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def text(value):
    """A string of HPACK, not compressed (RFC 7541 section 5.2)."""
    assert len(value) < 127
    return bytes([len(value)]) + value.encode()


def request_head(path):
    """The header block of a gRPC call: indexed fields where HPACK's static table has them."""
    literal = b"\x04" + text(path) + b"\x01" + text("x")  # :path, :authority
    return b"\x83\x86" + literal + b"\x0f\x10" + text("application/grpc") + b"\0" + text("te") + text(
        "trailers"
    )


def grpc_message(data):
    return b"\0" + struct.pack(">I", len(data)) + data


class RawHttp2:
    """One connection. `window`: how much the server may send on each stream before it has to wait,
    which is for ever."""

    def __init__(self, address, window=65535):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), 20)
        settings = struct.pack(">HI", INITIAL_WINDOW, window)
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0, settings) + frame(SETTINGS, 1))
        self._next = 1

    def call(self, path, *messages, ends=False):
        """Begins a call; returns its stream's number."""
        stream, self._next = self._next, self._next + 2
        frames = [frame(HEADERS, END_HEADERS, stream, request_head(path))]
        frames += [frame(DATA, 0, stream, grpc_message(message)) for message in messages]
        if ends:
            frames.append(frame(DATA, END_STREAM, stream))
        self.socket.sendall(b"".join(frames))
        return stream

    def send(self, data):
        self.socket.sendall(data)

    def read_until(self, wanted, limit=1 << 20):
        """Everything up to the bytes `wanted`, or to the end of the connection."""
        seen = b""
        while wanted not in seen and len(seen) < limit:
            piece = self.socket.recv(65536)
            if not piece:
                break
            seen += piece
        return seen

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
