"""TLS between gateways and ratelimitd, with certificates on both sides."""

import pytest

from support.fake_provider.authority import Authority
from support.mounted_secret import MountedSecret
from support.programs import free_port, wait_until
from support.stack import TIMEOUTS, ask

DEGRADED = "ratelimitd_unreachable"


class Site:
    """A ratelimitd that answers only who has a certificate, and its gateway's Secret."""

    def __init__(self, programs, directory):
        self.programs = programs
        self.directory = directory
        self.authority = Authority(directory / "authority")
        self.port = free_port()
        self.fake = programs.fake_provider()
        self.ratelimitd = self.start_ratelimitd(self.authority, "ratelimitd0")
        self.secret = MountedSecret(directory / "secret", **files(self.authority, "gateway"))

    def start_ratelimitd(self, authority, name, names="DNS:localhost"):
        certificate, key = authority.issue(name, alternative_names=names)
        tls = {"cert_file": certificate, "key_file": key, "client_ca_file": authority.ca_path}
        config = {
            "listen": f"127.0.0.1:{self.port}",
            "tls": {key: str(path) for key, path in tls.items()},
        }
        return self.programs.ratelimitd(config, name)

    def start_gateway(self, **tls):
        """`tls`: what is other than usual, None for left out."""
        usual = {
            "ca_file": self.secret.path("ca.crt"),
            "cert_file": self.secret.path("tls.crt"),
            "key_file": self.secret.path("tls.key"),
        }
        tls = {key: value for key, value in {**usual, **tls}.items() if value}
        options = {"tls": tls} if tls else {}
        provider = {
            "name": "p",
            "dialect": "openai",
            "base_url": self.fake.named("p").base_url(),
            "timeouts": TIMEOUTS,
        }
        return self.programs.gateway(
            {
                "ratelimitd": ask(f"dns:///localhost:{self.port}", **options),
                "providers": [provider],
                "models": [{"name": "m", "targets": [{"provider": "p", "model": "m"}]}],
            },
        )


def files(authority, name):
    """A Secret as cert-manager writes it."""
    certificate, key = authority.issue(name)
    return {
        "tls_crt": certificate.read_bytes(),
        "tls_key": key.read_bytes(),
        "ca_crt": authority.ca_path.read_bytes(),
    }


@pytest.fixture
def site(programs, tmp_path):
    return Site(programs, tmp_path)


def degraded(gateway):
    reply = gateway.chat("m")
    assert reply.status == 200, reply
    return reply.header("x-candor-degraded")


def test_both_know_each_other(site):
    gateway = site.start_gateway()
    wait_until(lambda: degraded(gateway) is None, "ratelimitd answers")
    assert gateway.metrics()["candor_gateway_ratelimitd_sessions"] == 1


def test_either_side_is_refused_without_its_certificate(site):
    stranger = Authority(site.directory / "stranger")
    certificate, key = stranger.issue("gateway")
    for why, tls in {
        "no certificate of ours": {"cert_file": None, "key_file": None},
        "one of an authority that ratelimitd does not know": {
            "cert_file": str(certificate),
            "key_file": str(key),
        },
        "ratelimitd's is of an authority that we do not know": {"ca_file": str(stranger.ca_path)},
        "ratelimitd's is for another name": {"server_name": "ratelimitd.elsewhere"},
        "plain text": {"cert_file": None, "key_file": None, "ca_file": None},
    }.items():
        gateway = site.start_gateway(**tls)
        assert [degraded(gateway) for _ in range(3)] == [DEGRADED] * 3, why
        assert any(x["event"] == "ratelimitd_stream_ended" for x in gateway.log_lines()), why
        gateway.stop()


def test_another_name_of_ratelimitd_can_be_expected(site):
    site.ratelimitd.stop()
    site.start_ratelimitd(site.authority, "ratelimitd1", names="DNS:candor-state.internal")
    gateway = site.start_gateway(server_name="candor-state.internal")
    wait_until(lambda: degraded(gateway) is None, "ratelimitd answers")


def test_a_changed_authority_needs_no_restart_of_the_gateway(site):
    gateway = site.start_gateway()
    wait_until(lambda: degraded(gateway) is None, "ratelimitd answers")
    later = Authority(site.directory / "later")
    reloads = 'candor_gateway_config_reloads_total{result="ok"}'

    site.secret.publish(**files(later, "gateway"))
    wait_until(lambda: gateway.metrics()[reloads] == 1, "the new certificate is read")
    assert degraded(gateway) is None, "the open connection stays"

    site.ratelimitd.stop()
    site.start_ratelimitd(later, "ratelimitd1")
    wait_until(lambda: degraded(gateway) is None, "the new one is trusted, and trusts us")
    ends = gateway.metrics()
    assert ends['candor_gateway_certificate_end_timestamp_seconds{certificate="ratelimitd"}'] > 0
