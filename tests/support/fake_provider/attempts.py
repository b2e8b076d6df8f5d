"""What the provider saw: one record per request, for tests to assert who was asked and how; and those
that hold until a test lets them go on."""

import asyncio
import collections
import dataclasses
import time

KEPT_BODY_BYTES = 256 << 10
KEPT_ATTEMPTS = 100_000


@dataclasses.dataclass
class Attempt:
    number: int
    provider: str
    dialect: str
    api: str
    model: str
    method: str
    target: str  # path and query as sent
    headers: list  # pairs as sent
    body: str  # the first 256 KiB
    connection: int  # which TCP connection
    nth_on_connection: int  # 1 for the first request of a connection
    started_at: float  # unix time
    outcome: str = "running"  # "answered", "misbehaved" as told, or "client_gone"
    status: int = 0  # sent; 0 when none was
    bytes_written: int = 0  # of the response, taken by the kernel
    ended_at: float = 0.0


class Attempts:
    """All records in order. Only the last 100,000 are kept; the count is of all."""

    def __init__(self):
        self._kept = []
        self.count = 0

    def begin(self, call, request, connection, nth_on_connection):
        self.count += 1
        attempt = Attempt(
            number=self.count,
            provider=call.provider,
            dialect=call.dialect,
            api=call.api,
            model=call.model,
            method=request.method,
            target=request.target,
            headers=request.headers,
            body=request.body[:KEPT_BODY_BYTES].decode("utf-8", "replace"),
            connection=connection,
            nth_on_connection=nth_on_connection,
            started_at=time.time(),
        )
        self._kept.append(attempt)
        del self._kept[:-KEPT_ATTEMPTS]
        return attempt

    def clear(self):
        self._kept.clear()

    def listed(self, provider=None):
        return [
            dataclasses.asdict(attempt)
            for attempt in self._kept
            if provider in (None, attempt.provider)
        ]


class Holds:
    """What attempts wait for."""

    def __init__(self):
        self._held = collections.defaultdict(list)  # provider -> of asyncio.Event

    def begin(self, provider):
        """An event that is set by the next release of the provider."""
        released = asyncio.Event()
        self._held[provider].append(released)
        return released

    def release(self, provider):
        for released in self._held.pop(provider, []):
            released.set()
