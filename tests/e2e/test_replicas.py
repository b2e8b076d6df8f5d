"""Two ratelimitd that share a Redis, three gateways: one truth, whichever of them dies."""

import concurrent.futures
import itertools
import re
import threading
import time

import pytest

from support.programs import REPOSITORY, free_port, wait_until
from support.redis import RedisServer
from support.stack import TIMEOUTS, Pair, ask, probe_among, wait_for_the_next_probe

BREAKER = {
    "consecutive": 3,
    "lump": "0s",
    "open": "1s",
    "open_max": "1s",
    "probe_successes": 1,
    "probe_lease": "2s",
}
STAYS_OPEN = {**BREAKER, "open": "300s", "open_max": "300s"}
# Generous, as the gateway's deadline is: a busy test machine must not make a store look away.
STORE = {"timeout": "5s"}
# Of one that will be away.
SHORT = {"timeout": "500ms"}
STORE_AWAY = "store_unreachable"


class Fleet(Pair):
    """Gateway 0 asks replica 0, gateway 1 asks replica 1, gateway 2 either."""

    def __init__(self, programs, store, routes=8, replicas=2, deadline="10s", **defaults):
        self.programs = programs
        self.fake = programs.fake_provider()
        self.deadline = deadline
        self.replica_config = {
            "store": {"kind": "redis", **STORE, **store},
            "defaults": {"breaker": BREAKER, **defaults},
        }
        self.replicas = [
            programs.ratelimitd(self.replica_config, f"ratelimitd{i}") for i in range(replicas)
        ]
        self._has_doubles = True
        routes = {"openai": routes}
        self.config = self._routes_config(routes, TIMEOUTS)
        addresses = [replica.address for replica in self.replicas]
        self.gateways = [self.new_gateway(target) for target in [*addresses, self.both()]]
        self.gateway = self.gateways[-1]
        self._unused = {"openai": iter(range(8))}

    def both(self):
        return "ipv4:" + ",".join(replica.address for replica in self.replicas)

    def ask(self, target, **options):
        return ask(target, deadline=self.deadline, **options)

    def new_gateway(self, target):
        name = f"gateway-{next(_numbers)}"
        return self.programs.gateway({**self.config, "ratelimitd": self.ask(target)}, name)

    def is_settled(self):
        return all(r.metrics()["candor_ratelimitd_store_degraded"] == 0 for r in self.replicas)

    def open_breaker(self, route):
        """Fails through the gateways in turn; returns the refusal that follows."""
        for i in range(BREAKER["consecutive"]):
            route.first.next(status=500)
            assert self.gateways[i % 2].chat(route.model).status == 500
        return self.gateways[0].chat(route.model)


_numbers = itertools.count()


class Traffic:
    """Requests through all gateways while something happens to the fleet: to a healthy provider, of
    which none may fail, and to one that stays broken, which may have `probes` in flight at a time.
    Meanwhile nobody asks a provider that is cooling down."""

    def __init__(self, fleet, gateways=None, probes=1):
        self.fleet = fleet
        self.gateways = gateways or fleet.gateways
        self.probes = probes
        self.healthy, self.broken, self.cooled = fleet.solo(), fleet.solo(), fleet.solo()
        self.replies = []
        self._is_over = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(gateway, model))
            for gateway in self.gateways
            for model in (self.healthy.model, self.broken.model)
        ]

    def _run(self, gateway, model):
        while not self._is_over.is_set():
            self.replies.append((model, gateway.chat(model)))
            time.sleep(0.01)

    def __enter__(self):
        self.cooled.first.always(status=429, headers={"retry-after": "600"})
        assert self.gateways[0].chat(self.cooled.model).status == 429
        # A replica that the store fails answers by what it knows, so each must have met this.
        assert self.agrees()
        self.fleet.open_breaker(self.broken)
        self.broken.first.always(status=500, delay_ms=200)
        for thread in self._threads:
            thread.start()
        return self

    def agrees(self):
        """Whether all gateways answer alike, by the shared state."""
        replies = [gateway.chat(self.cooled.model) for gateway in self.gateways]
        alike = {(reply.kind(), degraded(reply)) for reply in replies}
        return alike == {("no_provider_available", None)}

    def heal(self, record_property):
        """Waits until all is as it was, and notes how long that has taken."""
        began = time.monotonic()
        wait_until(lambda: self.agrees() and self.fleet.is_settled(), "all has healed")
        took_ms = round(1000 * (time.monotonic() - began))
        record_property("healed_after_ms", took_ms)
        print(f"healed after {took_ms} ms")
        before = self.broken.first.attempt_count()
        wait_until(lambda: self.broken.first.attempt_count() > before, "probes go on")

    def __exit__(self, *failure):
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        if failure[0]:
            return
        by_model = {
            model: {reply.status for of, reply in self.replies if of == model}
            for model in (self.healthy.model, self.broken.model)
        }
        assert by_model[self.healthy.model] == {200}
        # A probe's own failure, or a refusal.
        assert by_model[self.broken.model] <= {500, 503}
        assert self.cooled.first.attempt_count() == 1
        assert most_at_a_time(self.broken.first.attempts()) <= self.probes


def most_at_a_time(attempts):
    """Of those that ran at the same time."""
    moments = [(a.started_at, 1) for a in attempts]
    moments += [(a.ended_at, -1) for a in attempts if a.ended_at]
    running = itertools.accumulate(step for _, step in sorted(moments))
    return max(running, default=0)


def in_parallel(count, call):
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(call, range(count)))


def degraded(reply):
    return reply.header("x-candor-degraded")


def is_refused(gateway, route):
    return gateway.chat(route.model).kind() == "no_provider_available"


@pytest.fixture
def servers(tmp_path):
    """Starts Redis servers and ends them."""
    started = []

    def start(name="redis", **options):
        started.append(RedisServer(tmp_path, name, **options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def redis(servers):
    return servers()


@pytest.fixture
def fleet(programs, redis):
    return Fleet(programs, {"url": redis.url})


def test_a_429_told_to_one_replica_is_obeyed_at_the_next_ask_of_the_other(fleet):
    for _ in range(4):
        route = fleet.solo()
        route.first.always(status=429, headers={"retry-after": "20"})
        assert fleet.gateways[0].chat(route.model).status == 429

        reply = fleet.gateways[1].chat(route.model)

        assert reply.kind() == "no_provider_available", reply
        assert degraded(reply) is None
        assert 19_000 <= reply.wait_ms() <= 25_100
        assert route.first.attempt_count() == 1


def test_failures_told_to_both_open_one_breaker(programs, redis):
    fleet = Fleet(programs, {"url": redis.url}, breaker=STAYS_OPEN)
    route = fleet.solo()
    refused = fleet.open_breaker(route)

    assert refused.error()["candor"]["targets"][0]["reason"] == "breaker"
    assert all(is_refused(gateway, route) for gateway in fleet.gateways)
    assert route.first.attempt_count() == BREAKER["consecutive"]


def test_one_probe_in_flight_in_the_whole_fleet(fleet):
    route = fleet.solo()
    refused = fleet.open_breaker(route)
    before = route.first.attempt_count()
    route.first.always(hold=True)
    wait_for_the_next_probe(refused)

    replies = probe_among(24, route, lambda i: fleet.gateways[i % 3].chat(route.model))

    assert sorted(reply.status for reply in replies) == [200] + [503] * 23
    assert route.first.attempt_count() == before + 1


def test_a_gateway_killed_with_the_probe_does_not_wedge_it(fleet, record_property):
    route = fleet.solo()
    refused = fleet.open_breaker(route)
    wait_for_the_next_probe(refused)
    route.first.next(hold=True)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        lost = pool.submit(lambda: pytest.raises(Exception, fleet.gateways[0].chat, route.model))
        route.first.wait_for_attempts(BREAKER["consecutive"] + 1)
        assert is_refused(fleet.gateways[1], route)
        fleet.gateways[0].kill()
        killed_at = time.monotonic()
        lost.result()

    wait_until(lambda: fleet.gateways[1].chat(route.model).status == 200, "somebody may probe")
    record_property("probed_again_after_ms", round(1000 * (time.monotonic() - killed_at)))


def test_a_killed_replica_costs_no_request_and_no_knowledge(fleet, record_property):
    gateways = [fleet.new_gateway(fleet.both()) for _ in range(3)]
    with Traffic(fleet, gateways) as traffic:
        dead = fleet.replicas[0]
        dead.kill()
        fleet.replicas = fleet.replicas[1:]
        traffic.heal(record_property)
        config = {**fleet.replica_config, "listen": dead.address}
        fleet.replicas.append(fleet.programs.ratelimitd(config, "ratelimitd-again"))
        traffic.heal(record_property)

    assert {degraded(reply) for _, reply in traffic.replies} == {None}


def test_sessions_are_spread_over_replicas_and_come_back_to_a_restarted_one(fleet):
    for gateway in fleet.gateways:
        gateway.stop()
    config = {**fleet.config, "threads": 4, "ratelimitd": fleet.ask(fleet.both(), session_age="1s")}
    gateway = fleet.programs.gateway(config, "gateway-spread")
    model = fleet.solo().model

    def is_spread():
        reply = gateway.chat(model)
        assert (reply.status, degraded(reply)) == (200, None)
        sessions = [replica.metrics()["candor_ratelimitd_sessions"] for replica in fleet.replicas]
        return sum(sessions) == 4 and min(sessions) > 0

    wait_until(is_spread, "both replicas have sessions")
    dead = fleet.replicas.pop()
    dead.kill()
    config = {**fleet.replica_config, "listen": dead.address}
    fleet.replicas.append(fleet.programs.ratelimitd(config, "ratelimitd-again"))
    wait_until(is_spread, "the restarted replica has sessions")


def test_a_frozen_replica_is_left_within_one_ask(programs, redis, record_property):
    fleet = Fleet(programs, {"url": redis.url}, deadline="5s")
    gateways = [fleet.new_gateway(fleet.both()) for _ in range(4)]
    with Traffic(fleet, gateways) as traffic:
        fleet.replicas[0].pause()
        try:
            replies = [gateway.chat(traffic.healthy.model) for gateway in gateways]
        finally:
            fleet.replicas[0].resume()
        traffic.heal(record_property)

    assert [reply.status for reply in replies] == [200] * 4
    assert {degraded(reply) for _, reply in traffic.replies} == {None}


@pytest.mark.parametrize("way", ["killed", "paused"])
def test_without_redis_the_last_known_state_answers_and_heals(
    programs, servers, way, record_property
):
    redis = servers()
    fleet = Fleet(programs, {"url": redis.url, **SHORT})
    learned = fleet.solo()
    # Without the store there may be a probe for each ratelimitd.
    with Traffic(fleet, probes=2) as traffic:
        redis.pause() if way == "paused" else redis.kill()
        for gateway in fleet.gateways:
            reply = gateway.chat(traffic.cooled.model)
            assert (reply.status, degraded(reply)) == (503, STORE_AWAY)
        assert all("The shared store is away" in r.admin("/status").text() for r in fleet.replicas)
        learned.first.always(status=429, headers={"retry-after": "60"})
        assert fleet.gateways[0].chat(learned.model).status == 429
        assert fleet.gateways[0].chat(learned.model).kind() == "no_provider_available"

        redis.resume() if way == "paused" else servers(name="redis-again", port=redis.port)
        traffic.heal(record_property)

    for gateway in fleet.gateways:
        reply = gateway.chat(learned.model)
        assert (reply.kind(), degraded(reply)) == ("no_provider_available", None)
    assert learned.first.attempt_count() == 1
    assert {degraded(reply) for _, reply in traffic.replies} == {None, STORE_AWAY}


def test_a_flushed_redis_is_filled_again(fleet, redis, record_property):
    # Until each replica has told what it knows there may be a probe for each of them.
    with Traffic(fleet, probes=2) as traffic:
        for _ in range(3):
            assert redis.command("FLUSHALL") == "OK"
            assert redis.command("SCRIPT", "FLUSH") == "OK"
            traffic.heal(record_property)

        newcomer = fleet.programs.ratelimitd(fleet.replica_config, "ratelimitd-new")
        assert is_refused(fleet.new_gateway(newcomer.address), traffic.cooled)
    assert {degraded(reply) for _, reply in traffic.replies} == {None}


def test_every_key_expires(fleet, redis):
    route = fleet.solo()
    assert fleet.gateway.chat(route.model).status == 200
    route.first.always(status=429, headers={"retry-after": "60"})
    assert fleet.gateway.chat(route.model).status == 429

    keys = redis.command("KEYS", "*").splitlines()
    assert f"{{candor}}:provider:{route.first.name}" in keys
    has_gone = -2
    for key in keys:
        left_ms = int(redis.command("PTTL", key))
        assert left_ms == has_gone or 0 <= left_ms <= 2 * 3600 * 1000, (key, left_ms)


def test_a_limit_holds_for_both_replicas_together(programs, redis):
    fleet = Fleet(programs, {"url": redis.url}, limits={"requests_per_minute": 10})
    route = fleet.solo()
    began = time.monotonic()
    replies = in_parallel(30, lambda i: fleet.gateways[i % 2].chat(route.model))
    refilled = int((time.monotonic() - began) * 10 / 60)
    served = sum(reply.status == 200 for reply in replies)
    assert 10 <= served <= 10 + refilled
    assert route.first.attempt_count() == served


SENTINEL = """port {port}
sentinel monitor candor 127.0.0.1 {master} 1
sentinel down-after-milliseconds candor 1000
sentinel failover-timeout candor 5000
sentinel parallel-syncs candor 1
"""


@pytest.mark.parametrize("way", ["killed", "paused"])
def test_a_promoted_redis_goes_on_with_the_same_state(programs, servers, way, record_property):
    master = servers("redis-master")
    replica = servers("redis-replica", options={"replicaof": f"127.0.0.1 {master.port}"})
    wait_until(lambda: "master_link_status:up" in replica.command("INFO", "replication"), "in sync")
    port = free_port()
    sentinel = servers(
        "sentinel", port=port, sentinel=SENTINEL.format(port=port, master=master.port)
    )
    wait_until(lambda: "slaves=1" in sentinel.command("INFO", "sentinel"), "the replica is known")
    store = {"sentinels": [sentinel.address], "sentinel_master": "candor", **SHORT}
    fleet = Fleet(programs, store)
    with Traffic(fleet, probes=2) as traffic:
        master.pause() if way == "paused" else master.kill()
        promoted = lambda: "role:master" in replica.command("INFO", "replication")  # noqa: E731
        wait_until(promoted, "the replica is the master")
        traffic.heal(record_property)
        if way == "paused":
            master.resume()
            traffic.heal(record_property)


def test_tls_and_password(programs, servers, tmp_path):
    authority = tmp_path / "certificates.tls"
    programs.fake_provider("certificates", tls=True)
    redis = servers(tls=authority, options={"requirepass": "open-sesame"})
    password = tmp_path / "password"
    password.write_text("open-sesame\n")
    store = {"url": redis.url, "ca_file": str(authority / "ca.pem")}
    fleet = Fleet(programs, {**store, "password_file": str(password)})
    route = fleet.solo()
    route.first.always(status=429, headers={"retry-after": "20"})
    assert fleet.gateways[0].chat(route.model).status == 429

    reply = fleet.gateways[1].chat(route.model)

    assert (reply.kind(), degraded(reply)) == ("no_provider_available", None)


@pytest.mark.parametrize(
    "wrong, why",
    [
        ({"password": "wrong"}, "WRONGPASS"),
        ({"password": "open-sesame", "tls_server_name": "else.example"}, "hostname mismatch"),
    ],
)
def test_a_store_that_cannot_be_trusted_is_not_used(programs, servers, tmp_path, wrong, why):
    authority = tmp_path / "certificates.tls"
    programs.fake_provider("certificates", tls=True)
    redis = servers(tls=authority, options={"requirepass": "open-sesame"})
    store = {"url": redis.url, "ca_file": str(authority / "ca.pem"), **wrong}
    fleet = Fleet(programs, store, replicas=1)

    reply = fleet.gateway.chat(fleet.solo().model)

    assert (reply.status, degraded(reply)) == (200, STORE_AWAY)
    assert why in fleet.replicas[0].log()
    assert "open-sesame" not in fleet.replicas[0].log()


def out_of_memory(redis):
    redis.command("CONFIG", "SET", "maxmemory", "1000")
    return lambda: redis.command("CONFIG", "SET", "maxmemory", "0")


def other_type(redis):
    redis.command("SET", "{candor}:hosts", "mine")
    return lambda: redis.command("DEL", "{candor}:hosts")


def refusals(redis, why):
    found = re.search(f"errorstat_{why}:count=(\\d+)", redis.command("INFO", "errorstats"))
    return int(found[1]) if found else 0


@pytest.mark.parametrize(
    "break_it, why, remedy",
    [
        (out_of_memory, "OOM", "more memory"),
        (other_type, "WRONGTYPE", '"{candor}"'),
    ],
)
def test_a_store_that_refuses_is_told_once(programs, redis, break_it, why, remedy):
    store = {"kind": "redis", "url": redis.url, **STORE}
    ratelimitd = programs.ratelimitd({"store": store})

    def told():
        lines = [line for line in ratelimitd.log_lines() if line["event"].startswith("store_")]
        return [line["event"] for line in lines], lines[-1].get("error", "")

    wait_until(lambda: told()[0] == ["store_reached"], "it is connected")
    heal = break_it(redis)
    # Between refusals it answers other questions.
    wait_until(lambda: refusals(redis, why) > 2, "it has refused again and again")
    events, error = told()
    assert events[1:] == ["store_refused"] and why in error and remedy in error

    heal()
    wait_until(lambda: len(told()[0]) > 2, "it is told that it works again")
    assert told()[0] == ["store_reached", "store_refused", "store_reached"]


def test_a_redis_that_knows_no_password_repeats_none_of_it(programs, servers):
    redis = servers(options={"rename-command": "AUTH LOGIN"})
    store = {"kind": "redis", "url": redis.url, "password": "open-sesame", **STORE}
    log = programs.ratelimitd({"store": store}).log()
    assert "store_refused" in log and "[redacted]" in log and "open-sesame" not in log


@pytest.mark.parametrize(
    "store, acl, why, remedy",
    [
        ({}, None, "NOAUTH", "give the store password_file"),
        ({"password": "wrong"}, None, "WRONGPASS", "username and password_file"),
        ({"username": "u", "password": "p"}, "+@scripting +@read +@write", "'role'", "+role"),
        ({"username": "u", "password": "p"}, "+@all -time", "can't run this command", "+time"),
    ],
)
def test_a_redis_that_refuses_us_says_what_it_lacks(programs, servers, store, acl, why, remedy):
    redis = servers(options={"requirepass": "open-sesame"})
    if acl:
        redis.command("ACL", "SETUSER", "u", "on", ">p", "~{candor}:*", *acl.split())
    ratelimitd = programs.ratelimitd({"store": {"kind": "redis", "url": redis.url, **store, **STORE}})

    def refused():
        return [line for line in ratelimitd.log_lines() if line["event"] == "store_refused"]

    [line] = wait_until(refused, "it is told")
    assert redis.address in line["error"] and why in line["error"] and remedy in line["error"]


def test_the_commands_in_the_sample_configuration_are_enough(programs, servers):
    sample = (REPOSITORY / "deploy" / "config" / "ratelimitd.yaml").read_text()
    words = re.search(r"ACL like: (.*)\n#\s+# (\+.*)\n", sample)
    redis = servers()
    redis.command("ACL", "SETUSER", "u", "on", ">p", *words[1].split(), *words[2].split())
    url = redis.url.removesuffix("/0") + "/1"
    store = {"kind": "redis", "url": url, "username": "u", "password": "p", **STORE}
    ratelimitd = programs.ratelimitd({"store": store})
    target = {"provider": "openai", "model": "gpt"}
    ratelimitd.call(
        "AdmissionService/Report",
        {"reporter": "r", "report": {"target": target, "kind": "OUTCOME_KIND_RATE_LIMITED"}},
    )
    events = [line["event"] for line in ratelimitd.log_lines()]
    assert "store_reached" in events and "store_refused" not in events
