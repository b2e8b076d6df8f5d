"""TLS for tests: a certificate authority of its own, made by the openssl program, and a port on
which the handshake never succeeds."""

import asyncio
import pathlib
import ssl
import subprocess

import wire

# Certificate name -> (subject alternative names, days it is valid).
CERTIFICATES = {
    "good": ("DNS:localhost,IP:127.0.0.1", 2),
    "wrong_name": ("DNS:somebody-else.example", 2),
    "expired": ("DNS:localhost,IP:127.0.0.1", -1),
}

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


class Authority:
    """Makes ca.pem in `directory`, and server certificates signed by it."""

    def __init__(self, directory):
        self._directory = pathlib.Path(directory)
        self._directory.mkdir(parents=True, exist_ok=True)
        self.ca_path = self._directory / "ca.pem"
        self._openssl(
            "req",
            "-x509",
            *KEY,
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
            "-subj",
            "/CN=Fake provider CA",
            "-days",
            "2",
        )

    def server_context(self, name):
        """An ssl context that presents the certificate `name` of CERTIFICATES."""
        names, days = CERTIFICATES[name]
        extensions = self._directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={names}\n")
        self._openssl(
            "req", *KEY, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"
        )
        self._openssl(
            "x509",
            "-req",
            "-in",
            f"{name}.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-extfile",
            extensions.name,
            "-days",
            str(days),
            "-out",
            f"{name}.pem",
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._directory / f"{name}.pem", self._directory / f"{name}.key")
        return context

    def _openssl(self, *arguments):
        subprocess.run(
            ["openssl", *arguments],
            cwd=self._directory,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


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
