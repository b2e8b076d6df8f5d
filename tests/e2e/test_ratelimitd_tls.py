"""TLS on ratelimitd's gRPC port: who is served, and certificates that change while it runs."""

import signal
import socket
import ssl
import subprocess

import pytest

from support.fake_provider.authority import Authority
from support.programs import grpcurl, ratelimitd_binary, wait_until

LIST = "candor.ratelimitd.v1.ProviderHealthService/ListProviders"
# What either side of an HTTP/2 connection says first (RFC 9113, section 3.4).
SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SETTINGS


class Certificates:
    """What ratelimitd presents and trusts, in files that a test may replace."""

    def __init__(self, directory):
        self.directory = directory
        self.authority = Authority(directory / "authority")
        self.cert, self.key, self.client_ca = (
            directory / name for name in ("server.pem", "server.key", "client_ca.pem")
        )
        self.publish(self.authority, "ratelimitd")
        replace(self.client_ca, self.authority.ca_path)

    def publish(self, authority, name):
        for path, fresh in zip((self.cert, self.key), authority.issue(name)):
            replace(path, fresh)

    def config(self, is_mutual=False):
        tls = {"cert_file": str(self.cert), "key_file": str(self.key)}
        if is_mutual:
            tls["client_ca_file"] = str(self.client_ca)
        return {"tls": tls}


def replace(path, source):
    fresh = path.with_suffix(".new")
    fresh.write_bytes(source.read_bytes())
    fresh.replace(path)


def trusting(authority, client=None):
    """The context of a client that trusts `authority` and presents `client`."""
    context = ssl.create_default_context(cafile=authority.ca_path)
    context.set_alpn_protocols(["h2"])
    if client:
        context.load_cert_chain(*client)
    return context


def is_served(ratelimitd, context=None):
    """Whether the server begins to speak HTTP/2 with this client; None is one without TLS."""
    host, port = ratelimitd.address.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as raw:
        try:
            connection = context.wrap_socket(raw, server_hostname=host) if context else raw
            connection.sendall(HELLO)
            seen = b""
            while len(seen) < len(SETTINGS) and (piece := connection.recv(len(SETTINGS))):
                seen += piece
            return len(seen) >= len(SETTINGS)
        except (ssl.SSLError, ConnectionError):
            return False


@pytest.fixture
def certificates(tmp_path):
    return Certificates(tmp_path)


def test_only_tls_is_spoken(programs, certificates):
    ratelimitd = programs.ratelimitd(certificates.config())

    assert is_served(ratelimitd, trusting(certificates.authority))
    assert not is_served(ratelimitd)
    assert not is_served(ratelimitd, trusting(Authority(certificates.directory / "stranger")))
    assert ratelimitd.admin("/readyz").status == 200, "probes need no certificate"


@pytest.mark.parametrize(
    "version, is_taken", [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True)]
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1")
def test_versions(programs, certificates, version, is_taken):
    ratelimitd = programs.ratelimitd(certificates.config())
    context = trusting(certificates.authority)
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version

    assert is_served(ratelimitd, context) == is_taken


def test_clients_show_a_certificate(programs, certificates):
    ratelimitd = programs.ratelimitd(certificates.config(is_mutual=True))
    authority = certificates.authority
    stranger = Authority(certificates.directory / "stranger")

    cert, key = authority.issue("gateway")
    shown = ("-cacert", authority.ca_path, "-cert", cert, "-key", key)
    assert grpcurl(ratelimitd.address, LIST, options=shown) == {}
    assert is_served(ratelimitd, trusting(authority, (cert, key)))
    assert not is_served(ratelimitd, trusting(authority))
    assert not is_served(ratelimitd, trusting(authority, stranger.issue("gateway")))


@pytest.mark.parametrize("is_told", [True, False], ids=["SIGHUP", "changed files"])
def test_new_certificates_without_a_restart(programs, certificates, is_told):
    ratelimitd = programs.ratelimitd(certificates.config(is_mutual=True))
    old, new = certificates.authority, Authority(certificates.directory / "new_authority")
    old_client, new_client = old.issue("gateway"), new.issue("gateway")
    assert is_served(ratelimitd, trusting(old, old_client))

    certificates.publish(new, "ratelimitd")
    replace(certificates.client_ca, new.ca_path)
    if is_told:
        ratelimitd.send(signal.SIGHUP)

    wait_until(lambda: is_served(ratelimitd, trusting(new, new_client)), "the new ones are used")
    assert not is_served(ratelimitd, trusting(old, old_client))
    assert not is_served(ratelimitd, trusting(new, old_client))
    assert ratelimitd.metrics()["candor_ratelimitd_certificate_end_timestamp_seconds"] > 0


def test_bad_certificates_are_refused_and_the_old_ones_stay(programs, certificates):
    ratelimitd = programs.ratelimitd(certificates.config())
    refused = 'candor_ratelimitd_certificate_reloads_total{result="refused"}'
    assert ratelimitd.metrics()[refused] == 0

    replace(certificates.key, certificates.authority.issue("somebody_else")[1])
    ratelimitd.send(signal.SIGHUP)

    wait_until(lambda: ratelimitd.metrics()[refused] > 0, "the new key is refused")
    assert is_served(ratelimitd, trusting(certificates.authority))
    line = next(l for l in ratelimitd.log_lines() if l["event"] == "certificates_refused")
    assert str(certificates.key) in line["error"] and "PRIVATE KEY" not in ratelimitd.log()

    certificates.publish(certificates.authority, "mended")
    ratelimitd.send(signal.SIGHUP)
    taken = 'candor_ratelimitd_certificate_reloads_total{result="ok"}'
    wait_until(lambda: ratelimitd.metrics()[taken] > 0, "good ones are taken again")
    assert is_served(ratelimitd, trusting(certificates.authority))


# What is done to the files, the key that is complained of, and a word of the complaint.
MISTAKES = {
    "no such file": (lambda c: c.cert.unlink(), "cert_file", "No such file"),
    "no PEM": (lambda c: c.cert.write_text("hello"), "cert_file", "no certificate in PEM"),
    "damaged": (
        lambda c: c.cert.write_text(c.cert.read_text().replace("M", "?", 5)),
        "cert_file",
        "damaged",
    ),
    "another's key": (
        lambda c: replace(c.key, c.authority.issue("other")[1]),
        "key_file",
        "is not that of the first certificate",
    ),
    "a certificate for a key": (lambda c: replace(c.key, c.cert), "key_file", "no private key"),
    "empty authorities": (lambda c: c.client_ca.write_text(""), "client_ca_file", "is empty"),
}


@pytest.mark.parametrize("harm, key, word", MISTAKES.values(), ids=MISTAKES.keys())
def test_check_names_the_place_and_the_remedy(tmp_path, certificates, harm, key, word):
    harm(certificates)
    tls = certificates.config(is_mutual=True)["tls"]
    path = tmp_path / "ratelimitd.yaml"
    path.write_text("tls:\n" + "".join(f"  {name}: {value}\n" for name, value in tls.items()))

    done = subprocess.run(
        [ratelimitd_binary(), "--config", path, "--check"], capture_output=True, text=True, timeout=20
    )

    assert done.returncode == 1
    line = list(tls).index(key) + 2
    assert f"{path}:{line}:{len(key) + 5}: tls.{key}: " in done.stderr and word in done.stderr, done.stderr
