"""A certificate authority of its own, for tests; works through the openssl program."""

import pathlib
import ssl
import subprocess

OURSELVES = "DNS:localhost,IP:127.0.0.1"
# Certificate name -> (subject alternative names, days it is valid).
CERTIFICATES = {
    "good": (OURSELVES, 2),
    "wrong_name": ("DNS:somebody-else.example", 2),
    "expired": (OURSELVES, -1),
}

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


class Authority:
    """Makes ca.pem in `directory`, and certificates signed by it."""

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
        certificate, key = self.issue(name, *CERTIFICATES[name])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return context

    def issue(self, name, alternative_names=OURSELVES, days=2):
        """The paths of a new certificate, whose common name is `name`, and of its key."""
        extensions = self._directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternative_names}\n")
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
        return self._directory / f"{name}.pem", self._directory / f"{name}.key"

    def _openssl(self, *arguments):
        subprocess.run(
            ["openssl", *arguments],
            cwd=self._directory,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
