"""HTTPS for clients: everything that plain HTTP does, and certificates that change while it runs."""

import contextlib
import json
import re
import signal
import socket
import ssl
import subprocess
import time

import openai
import pytest

from support.fake_provider.authority import Authority
from support.http_client import RawConnection
from support.mounted_secret import MountedSecret
from support.programs import chat_request, gateway_binary, wait_until
from support.stack import Pair

RELOADS = "candor_gateway_config_reloads_total"
END = 'candor_gateway_certificate_end_timestamp_seconds{certificate="clients"}'
SHED = 'candor_gateway_shed_total{what="connection"}'
TOLD_AT_A_TIME = 128  # of those for whom there is no connection
MODELS = b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


def issue(authority, name, **options):
    """A new pair as cert-manager puts it into a Secret."""
    certificate, key = authority.issue(name, **options)
    return {"tls_crt": certificate.read_bytes(), "tls_key": key.read_bytes()}


def trust(authority):
    return ssl.create_default_context(cafile=authority.ca_path)


def start(programs, authority, secret, tls=None, **config):
    paths = {"cert_file": secret.path("tls.crt"), "key_file": secret.path("tls.key")}
    return Pair(
        programs,
        routes={"openai": 20},
        doubles=False,
        gateway_config={"tls": {**paths, **(tls or {})}, **config},
        tls=trust(authority),
    )


@pytest.fixture(scope="module")
def pair(shared_programs, authority, tmp_path_factory):
    secret = MountedSecret(tmp_path_factory.mktemp("tls") / "secret", **issue(authority, "first"))
    return start(shared_programs, authority, secret)


@pytest.fixture
def impatient(programs, authority, tmp_path):
    """A pair whose gateway waits for no handshake."""
    secret = MountedSecret(tmp_path / "secret", **issue(authority, "first"))
    return start(programs, authority, secret, limits={"header_timeout": "1s"})


@pytest.fixture
def swapped(programs, authority, tmp_path):
    """A pair of its own, and the Secret that a test may change."""
    secret = MountedSecret(tmp_path / "secret", **issue(authority, "first"))
    return start(programs, authority, secret), secret


def serial(gateway):
    with RawConnection(gateway.address) as connection:
        return connection.socket.getpeercert()["serialNumber"]


def handshakes(gateway, result):
    return gateway.metrics()[f'candor_gateway_tls_handshakes_total{{result="{result}"}}']


def wait_for_handshakes(gateway, result, count):
    wait_until(lambda: handshakes(gateway, result) == count, f"{count} have ended as {result}")


def request(model, **fields):
    body = json.dumps(chat_request(model, **fields)).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


# What people use.


def test_the_openai_sdk_with_a_private_authority(pair, authority):
    http = openai.DefaultHttpxClient(verify=trust(authority))
    client = openai.OpenAI(
        base_url=pair.gateway.url(), api_key="unused", max_retries=0, http_client=http
    )
    messages = [{"role": "user", "content": "Say hello."}]
    model = pair.solo().model

    whole = client.chat.completions.create(model=model, messages=messages)
    stream = client.chat.completions.create(model=model, messages=messages, stream=True)

    assert whole.choices[0].message.content == "Honest answers travel"
    assert "".join(c.choices[0].delta.content or "" for c in stream) == "Honest answers travel"


def test_curl_agrees_on_http_1_1(pair, authority):
    done = subprocess.run(
        ["curl", "-sS", "--http2", "--cacert", authority.ca_path, "-w", "%{http_version}"]
        + ["-o", "/dev/null", pair.gateway.url("/v1/models")],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert (done.returncode, done.stdout) == (0, "1.1"), done.stderr


# The connection.


def handshake(address, context):
    host, port = str(address).rsplit(":", 1)
    with socket.create_connection((host, int(port)), 20) as plain:
        with context.wrap_socket(plain, server_hostname=host) as tls:
            return tls.version(), tls.selected_alpn_protocol()


@pytest.mark.parametrize("version, is_spoken", [("TLSv1_1", False), ("TLSv1_2", True), ("TLSv1_3", True)])
def test_tls_is_at_least_1_2(pair, authority, version, is_spoken):
    context = trust(authority)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    if is_spoken:
        assert handshake(pair.gateway.address, context)[0] == version.replace("_", ".")
    else:
        with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
            handshake(pair.gateway.address, context)


@pytest.mark.parametrize("cipher", ["AES128-SHA", "AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA"])
def test_weak_ciphers_are_refused(pair, authority, cipher):
    context = trust(authority)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{cipher}:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
        handshake(pair.gateway.address, context)


@pytest.mark.parametrize(
    "offered, chosen", [([], None), (["h2", "http/1.1"], "http/1.1"), (["h2"], "refused")]
)
def test_the_application_protocol(pair, authority, offered, chosen):
    context = trust(authority)
    if offered:
        context.set_alpn_protocols(offered)
    if chosen == "refused":
        with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
            handshake(pair.gateway.address, context)
    else:
        assert handshake(pair.gateway.address, context)[1] == chosen


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_session_is_resumed(pair, authority, version):
    context = trust(authority)
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    host, port = str(pair.gateway.address).rsplit(":", 1)
    session, resumed = None, []
    for _ in range(2):
        with socket.create_connection((host, int(port)), 20) as plain:
            with context.wrap_socket(plain, server_hostname=host, session=session) as tls:
                tls.sendall(MODELS)
                assert b"200 OK" in tls.recv(65536)
                session = tls.session
                resumed.append(tls.session_reused)
    assert resumed == [False, True]


@pytest.mark.bad_input
def test_requests_on_one_connection_however_they_are_cut(pair):
    model = pair.solo().model
    with RawConnection(pair.gateway.address) as connection:
        connection.send(MODELS + request(model) + MODELS)
        assert [connection.read_reply().status for _ in range(3)] == [200, 200, 200]
        for byte in request(model):
            connection.send(bytes([byte]))
        assert connection.read_reply().status == 200


def receive(connection):
    piece = connection.socket.recv(65536)
    assert piece, "the connection has ended"
    return piece


@pytest.mark.bad_input
def test_a_request_may_come_with_the_end_of_the_handshake(pair, authority):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trust(authority).wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with RawConnection(str(pair.gateway.address)) as connection:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                connection.send(outgoing.read())
                incoming.write(receive(connection))
        tls.write(MODELS)
        connection.send(outgoing.read())
        answer = b""
        while b'"list"' not in answer:
            with contextlib.suppress(ssl.SSLWantReadError):
                answer += tls.read(65536)
                continue
            incoming.write(receive(connection))


@pytest.mark.bad_input
def test_much_in_both_directions_arrives_whole(pair):
    route = pair.solo()
    route.first.next(chunks=100, chunk_bytes=50_000)
    padding = "x" * 3_000_000

    reply = pair.gateway.chat(route.model, user=padding)

    assert reply.status == 200
    assert len(reply.json()["choices"][0]["message"]["content"]) >= 5_000_000
    [attempt] = route.first.attempts()
    assert int(attempt.header("content-length")) > len(padding)


@pytest.mark.bad_input
def test_a_client_that_leaves_cancels_the_upstream(pair):
    route = pair.solo()
    route.first.next(chunks=100_000, chunk_delay_ms=20)
    with pair.gateway.open_chat_stream(route.model, stream_options=None) as stream:
        stream.read_until(b"Honest")

    route.first.wait_for_outcome("client_gone")


def test_a_client_that_takes_nothing_is_dropped(programs, authority, tmp_path):
    secret = MountedSecret(tmp_path / "secret", **issue(authority, "first"))
    pair = start(programs, authority, secret, limits={"write_timeout": "1s"})
    route = pair.solo()
    route.first.next(chunks=2000, chunk_bytes=50_000)
    before = pair.gateway.resident_bytes()
    with pair.gateway.open_chat_stream(route.model):
        route.first.wait_for_outcome("client_gone")
    assert pair.gateway.resident_bytes() - before < 16_000_000


def test_the_end_is_told_by_close_notify(pair):
    with RawConnection(pair.gateway.address) as connection:
        connection.send(MODELS.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
        assert connection.read_reply().status == 200
        # Without it the ssl module raises SSLEOFError.
        assert connection.socket.recv(1) == b""


@pytest.mark.bad_input
def test_an_answer_is_not_lost_to_a_body_that_nobody_reads(pair):
    with RawConnection(pair.gateway.address) as connection:
        connection.send(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\n"
        )
        with contextlib.suppress(OSError):
            for _ in range(100):
                connection.socket.sendall(b"x" * 65536)
        assert connection.read_reply().status == 413


def test_a_handshake_that_does_not_come_is_ended(impatient):
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    address = str(impatient.gateway.address)
    with RawConnection(address) as silent, RawConnection(address) as half:
        half.send(hello)
        assert silent.is_closed_by_peer() and half.is_closed_by_peer()
    wait_for_handshakes(impatient.gateway, "timeout", 2)


@pytest.mark.bad_input
def test_plain_http_is_told_to_speak_https(pair):
    before = handshakes(pair.gateway, "plain_http")
    with RawConnection(str(pair.gateway.address)) as connection:
        connection.send(MODELS)
        reply = connection.read_reply()
        assert (reply.status, reply.kind()) == (400, "bad_request")
        assert "https://" in reply.error()["message"]
        assert connection.is_closed_by_peer()
    wait_for_handshakes(pair.gateway, "plain_http", before + 1)


def test_tls_on_a_plain_port_ends_at_once(programs, authority):
    gateway = Pair(programs, routes=1).gateway
    with pytest.raises(ssl.SSLError, match="WRONG_VERSION_NUMBER"):
        handshake(gateway.address, trust(authority))


@pytest.mark.bad_input
@pytest.mark.parametrize("sent", [b"\x00" * 100, b"\x16\x03\x01\x00\x05hello", b"SSH-2.0-x\r\n"])
def test_what_is_no_tls_is_ended(pair, sent):
    before = handshakes(pair.gateway, "failed")
    with RawConnection(str(pair.gateway.address)) as connection:
        connection.send(sent)
        connection.read_all()
    wait_for_handshakes(pair.gateway, "failed", before + 1)
    assert pair.gateway.get("/v1/models").status == 200


def test_connections_above_the_limit_are_told_so(programs, authority, tmp_path):
    secret = MountedSecret(tmp_path / "secret", **issue(authority, "first"))
    pair = start(programs, authority, secret, limits={"connections": 2})
    route = pair.solo()
    route.first.next(times=2, chunks=1_000_000, chunk_delay_ms=50)
    with pair.gateway.open_chat_stream(route.model), pair.gateway.open_chat_stream(route.model):
        reply = pair.gateway.get("/v1/models")
    assert (reply.status, reply.kind()) == (503, "gateway_overloaded")


def test_silent_connections_above_the_limit_get_no_handshake_and_hinder_nobody(
    programs, authority, tmp_path
):
    secret = MountedSecret(tmp_path / "secret", **issue(authority, "first"))
    pair = start(programs, authority, secret, limits={"connections": 1})
    route = pair.solo()
    route.first.next(chunks=1_000_000, chunk_delay_ms=50)
    with pair.gateway.open_chat_stream(route.model) as stream:
        with contextlib.ExitStack() as crowd:

            def is_crowded_out():
                crowd.close()
                before = pair.gateway.metrics()[SHED]
                for _ in range(2 * TOLD_AT_A_TIME):
                    crowd.enter_context(RawConnection(str(pair.gateway.address)))
                all_of_them = before + 2 * TOLD_AT_A_TIME
                wait_until(lambda: pair.gateway.metrics()[SHED] >= all_of_them, "all are refused")
                return not is_told(pair.gateway)

            wait_until(is_crowded_out, "nobody is told any more")
            assert stream.read_some()
        wait_until(lambda: is_told(pair.gateway), "who comes later is told again")
    wait_until(lambda: pair.gateway.get("/v1/models").status == 200, "there is room again")


def is_told(gateway):
    with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
        return gateway.get("/v1/models").kind() == "gateway_overloaded"


def test_connections_that_are_not_even_through_with_their_handshake_make_room(
    programs, authority, tmp_path
):
    secret = MountedSecret(tmp_path / "secret", **issue(authority, "first"))
    pair = start(programs, authority, secret, limits={"connections": 2, "header_timeout": "30s"})
    with RawConnection(str(pair.gateway.address)) as oldest, RawConnection(pair.gateway.address):
        assert pair.gateway.get("/v1/models").status == 200
        assert oldest.is_closed_by_peer()


def test_clients_have_to_show_a_certificate_where_it_is_wanted(programs, authority, tmp_path):
    secret = MountedSecret(tmp_path / "secret", **issue(authority, "first"))
    pair = start(programs, authority, secret, {"client_ca_file": str(authority.ca_path)})
    stranger = Authority(tmp_path / "stranger")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        pair.gateway.get("/v1/models")
    pair.gateway.address.tls.load_cert_chain(*stranger.issue("caller"))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        pair.gateway.get("/v1/models")
    pair.gateway.address.tls.load_cert_chain(*authority.issue("caller"))
    assert pair.gateway.get("/v1/models").status == 200


# Certificates that change.


def test_a_new_certificate_is_for_new_connections(swapped, authority):
    pair, secret = swapped
    old = serial(pair.gateway)
    with RawConnection(pair.gateway.address) as open_before:
        open_before.send(MODELS)
        assert open_before.read_reply().status == 200
        secret.publish(**issue(authority, "second", days=100))
        wait_until(lambda: serial(pair.gateway) != old, "the new certificate is shown")

        open_before.send(MODELS)
        assert open_before.read_reply().status == 200, "open connections stay"
    wait_until(lambda: pair.gateway.metrics()[RELOADS + '{result="ok"}'] > 0, "it is counted")
    days_left = (pair.gateway.metrics()[END] - time.time()) / 86400
    assert 99 < days_left <= 100


def test_a_bad_pair_is_refused_and_the_old_one_stays(swapped, authority):
    pair, secret = swapped
    old = serial(pair.gateway)
    new = issue(authority, "second")
    secret.publish(tls_crt=new["tls_crt"])  # with the old key
    wait_until(lambda: pair.gateway.metrics()[RELOADS + '{result="refused"}'] > 0, "it is refused")

    assert serial(pair.gateway) == old
    refusal = next(line for line in pair.gateway.log_lines() if line["event"] == "config_refused")
    assert "tls.key_file" in refusal["error"] and secret.path("tls.crt") in refusal["error"]

    secret.publish(tls_key=new["tls_key"])
    wait_until(lambda: serial(pair.gateway) != old, "the pair that fits is taken")


def test_an_expired_certificate_is_shown_but_warned_of(swapped, authority):
    pair, secret = swapped
    secret.publish(**issue(authority, "late", days=-1))
    pair.gateway.send(signal.SIGHUP)

    def warnings():
        return [x for x in pair.gateway.log_lines() if x["event"] == "certificate_expired"]

    warning, *_ = wait_until(warnings, "it is warned of")
    assert (warning["level"], warning["key"]) == ("warning", "tls.cert_file")
    assert pair.gateway.metrics()[END] < time.time()


def test_no_key_is_ever_told(swapped, authority, tmp_path):
    pair, secret = swapped
    key = issue(authority, "second")["tls_key"].decode()
    secret.publish(tls_crt=key)  # as an operator may confuse them
    pair.gateway.send(signal.SIGHUP)
    wait_until(lambda: pair.gateway.metrics()[RELOADS + '{result="refused"}'] > 0, "it is refused")
    line = key.splitlines()[1]
    assert line not in pair.gateway.log() + pair.gateway.admin("/metrics").text()


# --check


@pytest.mark.parametrize(
    "change, complaint",
    [
        ({}, None),
        ("expired", r"^warning: the certificate of tls.cert_file has expired"),
        ({"tls_crt": "no certificate"}, r"7:\d+: tls.cert_file: .*tls.crt holds no certificate"),
        ({"tls_key": "no key"}, r"7:\d+: tls.key_file: .*tls.key holds no private key"),
        ({"tls_crt": ""}, r"7:\d+: tls.cert_file: .*tls.crt is empty"),
        ("other key", r"7:\d+: tls.key_file: the key in .*tls.key is not that of"),
        ("no key_file", r"7:\d+: tls.key_file: is missing"),
        ("absent", r"7:\d+: tls.cert_file: cannot be read: .*absent.crt"),
    ],
)
def test_check_says_what_is_wrong(authority, tmp_path, change, complaint):
    files = issue(authority, "checked")
    if change == "other key":
        files["tls_key"] = issue(authority, "other")["tls_key"]
    if change == "expired":
        files = issue(authority, "checked", days=-1)
    secret = MountedSecret(tmp_path / "secret", **files)
    if isinstance(change, dict):
        secret.publish(**change)
    paths = {"cert_file": secret.path("tls.crt"), "key_file": secret.path("tls.key")}
    if change == "no key_file":
        del paths["key_file"]
    if change == "absent":
        paths["cert_file"] = "absent.crt"
    config = tmp_path / "gateway.yaml"
    config.write_text(f"""\
listen: 127.0.0.1:0
providers:
  - {{name: p, dialect: openai, base_url: "https://localhost/v1"}}
models:
  - name: m
    targets: [{{provider: p, model: m}}]
tls: {json.dumps(paths)}
""")
    done = subprocess.run(
        [gateway_binary(), "--config", config, "--check"], capture_output=True, text=True, timeout=20
    )
    is_usable = complaint is None or "warning" in complaint
    assert done.returncode == (0 if is_usable else 1), done.stderr
    assert re.search(complaint or "^$", done.stderr), done.stderr
