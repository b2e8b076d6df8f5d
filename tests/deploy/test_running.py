"""What the manifests configure works together as it stands, but for addresses, where secrets lie, and
how long the programs wait for each other: a busy test machine is no reason to do without."""

import ssl

import pytest
import yaml

from support.fake_provider.authority import Authority
from support.manifests import build
from support.programs import wait_until
from support.redis import RedisServer
from support.stack import Programs

PASSWORD = "open-sesame"


class Site:
    """One machine in the place of the cluster."""

    def __init__(self, programs, directory, tmp_path):
        self._programs = programs
        self._manifests = build(directory)
        self._directory = tmp_path
        self.authority = Authority(tmp_path / "authority")
        self._issue("redis", "good", "DNS:localhost,IP:127.0.0.1")
        for name in ("gateway", "gateway-client", "ratelimitd"):
            self._issue(f"{name}-tls", name, f"DNS:{name}")
        self._write_secret("redis/password", PASSWORD.encode())
        for name in ("openai", "anthropic"):
            self._write_secret(f"candor/{name}", b"key")

    def _issue(self, secret, name, names):
        certificate, key = self.authority.issue(name, names)
        files = {"tls.crt": certificate, "tls.key": key, "ca.crt": self.authority.ca_path}
        for file, path in files.items():
            self._write_secret(f"{secret}/{file}", path.read_bytes())

    def _write_secret(self, name, content):
        path = self._directory / "run/secrets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def config(self, name):
        text = self._manifests.one("ConfigMap", name)["data"][f"{name}.yaml"]
        for path in ("/run/secrets", "/var/lib/candor"):
            text = text.replace(path, f"{self._directory}{path}")
        config = yaml.safe_load(text)
        return {**config, "listen": "127.0.0.1:0", "admin": "127.0.0.1:0"}

    def replicas(self):
        """Several, where they share their state."""
        env = {}
        if is_shared := (config := self.config("ratelimitd"))["store"]["kind"] == "redis":
            directory = self._directory / "authority"
            has_tls = "ca_file" in config["store"]
            redis = RedisServer(
                directory, options={"requirepass": PASSWORD}, tls=directory if has_tls else None
            )
            self._programs.add(redis)
            env = {"CANDOR_REDIS_URL": redis.url}
        else:
            (self._directory / "var/lib/candor").mkdir(parents=True)
        config["admin_service"]["listen"] = "127.0.0.1:0"
        if is_shared:
            config["store"]["timeout"] = "5s"
        names = ["ratelimitd0", "ratelimitd1"] if is_shared else ["ratelimitd0"]
        return [self._programs.ratelimitd(config, name, env) for name in names]

    def gateway(self, replicas, fake):
        config = self.config("gateway")
        config["ratelimitd"]["deadline"] = "10s"
        for provider in config["providers"]:
            provider["base_url"] = fake.named(provider["name"]).base_url(provider["dialect"])
        env = {"CANDOR_RATELIMITD": "ipv4:" + ",".join(each.address for each in replicas)}
        tls = ssl.create_default_context(cafile=self.authority.ca_path) if "tls" in config else None
        if tls:
            tls.check_hostname = False  # callers know it by its Service's name
        return self._programs.gateway(config, env=env, tls=tls)


@pytest.mark.parametrize(
    "directory", ["base", "overlays/redis", "overlays/tls", "overlays/redis-tls"]
)
def test_a_request_is_answered_and_its_failure_is_remembered(directory, tmp_path):
    programs = Programs(tmp_path)
    try:
        site = Site(programs, directory, tmp_path)
        fake = programs.fake_provider()
        replicas = site.replicas()
        gateway = site.gateway(replicas, fake)

        def trail(model):
            reply = gateway.chat(model)
            assert (reply.status, reply.header("x-candor-degraded")) == (200, None), reply
            return [entry.rsplit(":", 1)[0] for entry in reply.header("x-candor-attempts").split(", ")]

        wait_until(lambda: not gateway.chat("smart").header("x-candor-degraded"), "all is well")
        fake.named("openai").next(status=429, headers={"retry-after": "20"})
        assert trail("fast") == ["openai:rate_limited", "anthropic:ok"]
        assert trail("fast") == ["openai:refused(backoff)", "anthropic:ok"]
    finally:
        programs.stop_all()
