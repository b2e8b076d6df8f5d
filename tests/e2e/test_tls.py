"""TLS to providers: verified against the configured authority, and every way it can fail."""

import contextlib
import pathlib
import socket
import ssl
import subprocess
import threading

import pytest

from support.fake_provider.authority import Authority
from support.mounted_secret import MountedSecret
from support.programs import gateway_binary, wait_until
from support.stack import TIMEOUTS, ask


# Where no handshake may come: nobody waits for it as long as elsewhere.
MUTE = ("tls_refused", "http")


@pytest.fixture(scope="module")
def fake(shared_programs):
    return shared_programs.fake_provider("tls_provider", tls=True)


@contextlib.contextmanager
def server(answer):
    """The address of one that does `answer` with each connection."""

    def serve(listener):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(ssl.SSLError, ConnectionError):
                    answer(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield "127.0.0.1:%d" % listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.fixture(scope="module")
def old_server(tmp_path_factory):
    """Speaks TLS 1.1 at most."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.load_cert_chain(*Authority(tmp_path_factory.mktemp("old")).issue("old"))
    with server(lambda connection: context.wrap_socket(connection, server_side=True)) as address:
        yield address


@pytest.fixture(scope="module")
def plain_server():
    """Answers whatever it is told as a web server does that understands nothing of it."""
    with server(lambda c: (c.recv(65536), c.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))) as address:
        yield address


@pytest.fixture(scope="module")
def tls_gateway(shared_programs, fake, old_server, plain_server):
    """One model for each listener of the fake provider, named as it is."""
    ratelimitd = shared_programs.ratelimitd(
        {"defaults": {"breaker": {"consecutive": 1000, "min_calls": 1000}}}
    )
    listeners = ["tls", "tls_wrong_name", "tls_expired", "tls_refused", "http"]
    providers = [provider(fake, name, fake.addresses[name]) for name in listeners]
    providers.append(provider(fake, "old", old_server))
    providers.append(provider(fake, "plain", plain_server))
    providers.append({**provider(fake, "untrusted", fake.addresses["tls"]), "ca_file": ""})
    providers.append(
        {
            **provider(fake, "renamed", fake.addresses["tls_wrong_name"]),
            "tls_server_name": "somebody-else.example",
        }
    )
    names = [p["name"] for p in providers]
    return shared_programs.gateway(
        {
            "ratelimitd": ask(ratelimitd.address),
            "providers": providers,
            "models": [
                {"name": name, "targets": [{"provider": name, "model": "m"}]} for name in names
            ],
        },
        "tls_gateway",
    )


def provider(fake, name, address):
    port = address.rsplit(":", 1)[1]
    return {
        "name": name,
        "dialect": "openai",
        "base_url": f"https://localhost:{port}/{name}/v1",
        "ca_file": fake.addresses["ca"],
        "api_key": "k",
        "timeouts": {**TIMEOUTS, "connect": "1s"} if name in MUTE else TIMEOUTS,
    }


@pytest.mark.parametrize("stream", [False, True])
def test_a_good_certificate_is_accepted(tls_gateway, stream):
    reply = tls_gateway.chat("tls", stream=stream)
    assert reply.status == 200, reply


def test_a_tls_connection_is_reused(tls_gateway, fake):
    for _ in range(3):
        assert tls_gateway.chat("tls").status == 200
    assert len({attempt.connection for attempt in fake.attempts("tls")[-3:]}) == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "model, why",
    [
        ("tls_wrong_name", "its certificate is for another name"),
        ("tls_expired", "its certificate has expired"),
        ("untrusted", "its certificate comes from no trusted authority"),
    ],
)
def test_a_bad_certificate_is_refused_before_anything_is_sent(
    tls_gateway, fake, model, why, stream
):
    reply = tls_gateway.chat(model, stream=stream)

    assert (reply.status, reply.kind()) == (502, "upstream_unreachable"), reply
    assert reply.error()["message"] == f"The provider could not be reached: {why}."
    assert reply.error()["candor"]["upstream_status"] is None
    assert fake.attempts(model) == []


def test_tls_server_name_says_which_name_to_expect(tls_gateway):
    assert tls_gateway.chat("renamed").status == 200


@pytest.mark.parametrize("mode", ["refuse", "reset", "stall"])
def test_a_handshake_that_fails(tls_gateway, fake, mode):
    fake.set_broken_tls(mode)
    reply = tls_gateway.chat("tls_refused")

    assert reply.status in (502, 504), reply
    assert reply.kind() in ("upstream_unreachable", "upstream_timeout")
    reply.error()


def test_a_provider_without_tls_behind_https(tls_gateway):
    reply = tls_gateway.chat("http")
    assert (reply.status, reply.kind()) == (502, "upstream_unreachable"), reply


def test_a_server_that_answers_without_tls(tls_gateway):
    reply = tls_gateway.chat("plain")
    assert (reply.status, reply.kind()) == (502, "upstream_unreachable"), reply
    assert "it does not speak TLS" in reply.error()["message"]


def test_a_provider_that_speaks_no_tls_1_2(tls_gateway):
    reply = tls_gateway.chat("old")
    assert (reply.status, reply.kind()) == (502, "upstream_unreachable"), reply
    assert "it speaks no TLS 1.2 or newer" in reply.error()["message"]


def test_a_changed_authority_is_trusted_without_a_restart(programs, fake, tmp_path):
    stranger = Authority(tmp_path / "stranger")
    mounted = MountedSecret(tmp_path / "ca", ca_crt=stranger.ca_path.read_bytes())
    ratelimitd = programs.ratelimitd({"defaults": {"breaker": {"consecutive": 1000}}})
    gateway = programs.gateway(
        {
            "ratelimitd": ask(ratelimitd.address),
            "providers": [
                {**provider(fake, "tls", fake.addresses["tls"]), "ca_file": mounted.path("ca.crt")}
            ],
            "models": [{"name": "m", "targets": [{"provider": "tls", "model": "m"}]}],
        }
    )
    assert "no trusted authority" in gateway.chat("m").error()["message"]

    mounted.publish(ca_crt=pathlib.Path(fake.addresses["ca"]).read_bytes())
    wait_until(lambda: gateway.chat("m").status == 200, "the new authority is trusted")


def test_a_stream_cut_without_close_notify_is_told(tls_gateway, fake):
    fake.named("tls").next(cut_after_events=3, end="reset")
    reply = tls_gateway.chat("tls", stream=True)

    assert "[DONE]" not in reply.events()
    assert "upstream_interrupted" in reply.events()[-1]


def test_a_missing_ca_file_is_a_configuration_error(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(f"""
providers:
  - {{name: p, dialect: openai, base_url: "https://localhost/v1", ca_file: {tmp_path}/absent.pem}}
models:
  - {{name: m, targets: [{{provider: p, model: m}}]}}
""")
    done = subprocess.run(
        [gateway_binary(), "--config", path, "--check"], capture_output=True, text=True, timeout=20
    )
    assert done.returncode != 0
    assert "absent.pem" in done.stderr
