"""A port on which the TLS handshake never succeeds."""

import asyncio

import wire

# A fatal handshake_failure alert: record type 21, TLS 1.2, two bytes, level 2, description 40.
HANDSHAKE_FAILURE = bytes([21, 3, 3, 0, 2, 2, 40])


class BrokenTls:
    """Reads the client's hello and then refuses: "refuse" with an alert, "reset", or "stall"."""

    MODES = ("refuse", "reset", "stall")

    def __init__(self):
        self._mode = "refuse"

    def set_mode(self, mode):
        """Raises ValueError for an unknown mode."""
        if mode not in self.MODES:
            raise ValueError(f"mode is one of {self.MODES}, not {mode!r}")
        self._mode = mode

    async def serve(self, reader, writer):
        """One accepted connection. For asyncio.start_server."""
        outgoing = wire.Outgoing(writer)
        try:
            await reader.read(wire.READ_BYTES)
            if self._mode == "stall":
                await reader.read()
            elif self._mode == "reset":
                outgoing.reset()
            else:
                await outgoing.send(HANDSHAKE_FAILURE)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            outgoing.close()
