"""One provider connection: reads requests, asks the scripts, and acts the behaviour out."""

import asyncio
import json
import time
import urllib.parse

from answer import Answer
import attempts as records
import dialects
import wire


class EndConnection(Exception):
    """The behaviour has said what happens to the connection; nothing more is sent on it."""


class Provider:
    """Serves every dialect. `scripts` decides, `attempts` records, `holds` releases."""

    def __init__(self, scripts, attempts, holds=None):
        self._scripts = scripts
        self._attempts = attempts
        self._holds = holds or records.Holds()
        self._connections = 0

    async def serve(self, reader, writer):
        """One accepted connection until it ends. For asyncio.start_server."""
        self._connections += 1
        connection = self._connections
        incoming, outgoing = wire.Incoming(reader), wire.Outgoing(writer)
        try:
            await self._serve_requests(incoming, outgoing, connection)
        except wire.BadRequest as error:
            await _try_send(outgoing, wire.render_head(400, [("connection", "close")]))
            print(f"bad request: {error}", flush=True)
        except (EndConnection, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            outgoing.close()

    async def _serve_requests(self, incoming, outgoing, connection):
        drop_next = False
        nth = 0
        while (request := await incoming.read_request()) is not None:
            nth += 1
            call = dialects.locate(request.target, request.body)
            attempt = self._attempts.begin(call, request, connection, nth)
            call.number = attempt.number
            if drop_next:
                attempt.outcome = "misbehaved"
                return
            behaviour = self._scripts.next(call, _path(request), _key(request))
            released = self._holds.begin(call.provider) if behaviour.holds() else None
            acting = Acting(call, request, behaviour, attempt, outgoing, released)
            await _act_unless_peer_leaves(acting, incoming, attempt)
            if behaviour.afterwards in ("close", "hang_up") or _wants_close(request):
                return
            drop_next = behaviour.afterwards == "drop_next"


def _wants_close(request):
    return request.header("connection").lower() == "close"


def _key(request):
    """What the caller is known by, in the way of any dialect."""
    bearer = request.header("authorization").removeprefix("Bearer ")
    return bearer or request.header("x-api-key") or request.header("api-key")


def _path(request):
    return urllib.parse.urlsplit(request.target).path


async def _try_send(outgoing, data):
    try:
        await outgoing.send(data)
    except ConnectionError:
        pass


async def _act_unless_peer_leaves(acting, incoming, attempt):
    """Raises EndConnection when the behaviour or the peer has ended the connection."""
    performing = asyncio.create_task(acting.perform())
    leaving = asyncio.create_task(incoming.wait_until_peer_leaves())
    try:
        await asyncio.wait({performing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not performing.done():
            raise ConnectionResetError("peer left")
        performing.result()
        attempt.outcome = "answered"
    except EndConnection:
        attempt.outcome = "misbehaved"
        raise
    except ConnectionError:
        attempt.outcome = "client_gone"
        raise
    finally:
        attempt.ended_at = time.time()
        for task in (performing, leaving):
            task.cancel()
        await asyncio.gather(performing, leaving, return_exceptions=True)


class Acting:
    """One answer to one request, step by step."""

    def __init__(self, call, request, behaviour, attempt, outgoing, released):
        self._released = released
        self._outgoing = outgoing
        self._call = call
        self._request = request
        self._behaviour = behaviour
        self._attempt = attempt

    async def perform(self):
        """Returns when the answer is complete and the connection may serve another request.
        Raises EndConnection when not, ConnectionError when the peer has left."""
        await self._before_headers()
        status, content_type, body = self._answer()
        framing = self._framing(body)
        await self._send_head(status, content_type, framing, body)
        await _sleep_ms(self._behaviour.body_delay_ms)
        await self._send_body(framing, body)

    async def _before_headers(self):
        behaviour = self._behaviour
        await _sleep_ms(behaviour.delay_ms)
        if behaviour.hold:
            await self._released.wait()
        if behaviour.before_headers != "answer":
            await self._end(behaviour.before_headers)
        if behaviour.raw is not None:
            await self._send(behaviour.raw.encode("latin-1"))
            await self._end("close")

    def _answer(self):
        """Status, content type and body: bytes, or an iterable of byte pieces for a stream."""
        behaviour, call = self._behaviour, self._call
        status = behaviour.status
        if behaviour.events is not None:
            return status, "text/event-stream; charset=utf-8", self._blocks(behaviour.events)
        if behaviour.body is not None:
            return status, "application/json", _as_bytes(behaviour.body)
        if status >= 400:
            return status, "application/json", _as_bytes(dialects.error_body(call, status))
        if not call.dialect:
            body = dialects.error_body(call, 404, "The fake provider knows no such path.")
            return 404, "application/json", _as_bytes(body)
        if dialects.missing_credential(call, self._request):
            body = dialects.error_body(call, 401, "The fake provider was given no credential.")
            return 401, "application/json", _as_bytes(body)
        return (status, *self._healthy())

    def _healthy(self):
        call = self._call
        said = self._behaviour.answer or Answer(
            dialects.pieces(self._behaviour.chunks, self._behaviour.chunk_bytes)
        )
        if not dialects.can_stream(call):
            return "application/json", _as_bytes(dialects.healthy_body(call, said))
        if call.dialect == "gemini" and "alt=sse" not in self._request.target:
            return "application/json", _json_array(dialects.healthy_events(call, said))
        return "text/event-stream; charset=utf-8", self._blocks(
            dialects.healthy_events(call, said)
        )

    def _blocks(self, events):
        line_end = self._behaviour.line_end
        for event in events:
            yield ((event + "\n\n").replace("\n", line_end)).encode("utf-8")

    def _framing(self, body):
        if self._behaviour.framing != "auto":
            return self._behaviour.framing
        return "length" if isinstance(body, bytes) else "chunked"

    async def _send_head(self, status, content_type, framing, body):
        behaviour = self._behaviour
        content_type = content_type if behaviour.content_type is None else behaviour.content_type
        own = behaviour.header_pairs()
        if behaviour.header_padding:
            own.append(("x-padding", "p" * behaviour.header_padding))
        own_names = {name.lower() for name, _ in own}
        usual = dialects.usual_headers(self._call)
        usual += [("content-type", content_type)] if content_type else []
        if framing == "length":
            body = body if isinstance(body, bytes) else b"".join(body)
            usual.append(("content-length", len(body)))
        if framing == "chunked":
            usual.append(("transfer-encoding", "chunked"))
        if framing == "close" or behaviour.afterwards == "close":
            usual.append(("connection", "close"))
        headers = [pair for pair in usual if pair[0] not in own_names] + own
        await self._send(wire.render_head(status, headers))
        self._attempt.status = status

    async def _send_body(self, framing, body):
        behaviour = self._behaviour
        is_cut = False
        left = behaviour.cut_after_bytes
        for number, piece in enumerate(self._pieces(body)):
            if number == behaviour.hold_after_events:
                await self._released.wait()
            if number == behaviour.cut_after_events or left == 0:
                is_cut = True
                break
            await _sleep_ms(behaviour.chunk_delay_ms)
            if left is not None:
                piece = piece[:left]
                left -= len(piece)
            await self._send(wire.render_chunk(piece) if framing == "chunked" else piece)
        for block in self._blocks(behaviour.last_events):
            await self._send(wire.render_chunk(block) if framing == "chunked" else block)
        if (is_cut or left == 0) and behaviour.end != "finish":
            await self._end(behaviour.end)
        if framing == "chunked":
            await self._send(wire.LAST_CHUNK)
        if framing == "close":
            await self._end("close")

    def _pieces(self, body):
        size = self._behaviour.drip_bytes
        for piece in [body] if isinstance(body, bytes) else body:
            if not size:
                if piece:
                    yield piece
                continue
            for begin in range(0, len(piece), size):
                yield piece[begin : begin + size]

    async def _send(self, data):
        await self._outgoing.send(data)
        self._attempt.bytes_written += len(data)

    async def _end(self, how):
        if how == "stall":
            await asyncio.Event().wait()
        if how == "garbage":
            await self._send(b"\r\nzz not a chunk size\r\n\x00\xff\xfe garbage\r\n")
        if how == "reset":
            self._outgoing.reset()
        raise EndConnection


def _as_bytes(body):
    text = body if isinstance(body, str) else json.dumps(body)
    return text.encode("utf-8")


def _json_array(events):
    before = "["
    for event in events:
        yield (before + event.removeprefix("data: ")).encode("utf-8")
        before = ",\r\n"
    yield b"]"


async def _sleep_ms(milliseconds):
    if milliseconds:
        await asyncio.sleep(milliseconds / 1000)
