"""What the images are made of runs by itself, and compose.yaml wires up what there is."""

import re
import subprocess
import sys

import pytest
import yaml

from support.manifests import DEPLOY
from support.programs import REPOSITORY, Program, gateway_binary, ratelimitd_binary, tool
from support.stack import Programs

BINARIES = {"gateway": gateway_binary(), "ratelimitd": ratelimitd_binary()}
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]

each_program = pytest.mark.parametrize("program", BINARIES)


def version():
    text = (REPOSITORY / "CMakeLists.txt").read_text()
    return re.search(r"candor VERSION ([\d.]+)", text).group(1)


def stage(program):
    """The instructions of the program's image."""
    return DOCKERFILE.split(f" AS {program}\n")[1].split("\nFROM ")[0]


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    directory = tmp_path_factory.mktemp("image")
    for program in BINARIES:
        command = [DEPLOY / "image-root", program, directory / program]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    return directory


@each_program
def test_the_program_runs_with_the_libraries_of_its_image_alone(roots, program):
    root = roots / program
    (loader,) = root.glob("lib*/ld-linux*")
    directories = {str(path.parent) for path in root.glob("lib/*/*.so*")}
    done = subprocess.run(
        [loader, "--inhibit-cache", "--library-path", ":".join(directories)]
        + [root / "usr/bin" / program, "--version"],
        env={"LD_DEBUG": "files", "LD_DEBUG_OUTPUT": str(roots / f"{program}.loads")},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stdout == f"{program} {version()}\n", done.stderr
    (trace,) = roots.glob(f"{program}.loads.*")
    loaded = set(re.findall(r"calling init: (\S+)", trace.read_text()))
    assert loaded and all(path.startswith(str(root)) for path in loaded)


@each_program
def test_the_image_holds_no_tool_and_tells_what_it_is_made_of(roots, program):
    root = roots / program
    assert [p.name for p in (root / "usr/bin").iterdir()] == [program]
    assert not (root / "bin").exists() and not (root / "sbin").exists()
    recorded = {p.name for p in (root / "var/lib/dpkg/status.d").iterdir()}
    licensed = {p.parent.name for p in (root / "usr/share/doc").glob("*/copyright")}
    assert {"libc6", "libssl3", "ca-certificates"} <= {n.removesuffix("t64") for n in recorded}
    assert licensed == recorded | {"candor"}
    assert "BEGIN CERTIFICATE" in (root / "etc/ssl/certs/ca-certificates.crt").read_text()
    assert (root / "etc/passwd").read_text().startswith("candor:x:65532:65532:")
    assert sum(p.stat().st_size for p in root.rglob("*") if p.is_file()) < 60_000_000


@each_program
def test_the_image_is_labelled_and_confined(program):
    instructions = stage(program)
    assert "USER 65532:65532\n" in instructions
    assert f'image.version="{version()}"' in instructions
    assert f'ENTRYPOINT ["/usr/bin/{program}"]' in instructions
    assert f'CMD ["--config", "/etc/candor/{program}.yaml"]' in instructions


@each_program
def test_the_health_check_tells_alive_from_dead(program, tmp_path):
    programs = Programs(tmp_path)
    try:
        service = programs.ratelimitd()
        if program == "gateway":
            config = {"ratelimitd": {"target": service.address}, "providers": [], "models": []}
            service = programs.gateway(config)
        command = re.search(r'CMD \["/usr/bin/\w+", "--health", "([\d.:]+)"\]', stage(program))
        port = command.group(1).rsplit(":", 1)[1]
        assert f" {port}\n" in re.search(r"EXPOSE.*\n", stage(program)).group(0)

        def ask():
            health = [BINARIES[program], "--health", service.addresses["admin"]]
            return subprocess.run(health, capture_output=True, text=True, timeout=30)

        assert ask().returncode == 0
        service.stop()
        dead = ask()
        assert dead.returncode == 1 and service.addresses["admin"] in dead.stderr
    finally:
        programs.stop_all()


def test_what_the_build_copies_is_there_and_not_ignored():
    admitted = {
        line[1:]
        for line in (REPOSITORY / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    build = DOCKERFILE.split("\nFROM scratch")[0]
    copied = {
        source
        for line in re.findall(r"^COPY (.*)$", build, re.M)
        for source in line.split()[:-1]
    }
    assert all((REPOSITORY / source).exists() for source in copied)
    assert copied == admitted


def test_mounted_files_exist_and_ports_stay_on_this_machine():
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (DEPLOY / source).exists(), f"{name}: {volume}"
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        for other in service.get("depends_on", []):
            assert other in SERVICES


@pytest.mark.parametrize("config", ["gateway.demo.yaml", "gateway.yaml", "ratelimitd.yaml"])
def test_the_programs_take_the_configuration_with_composes_variables(config):
    program = config.split(".")[0]
    environment = {
        name: re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", value)
        for name, value in SERVICES[program]["environment"].items()
    }
    command = [BINARIES[program], "--check", "--config", DEPLOY / "config" / config]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


@each_program
def test_compose_builds_this_version_confined(program):
    service = SERVICES[program]
    assert service["image"] == f"candor-{program}:{version()}"
    assert service["build"]["target"] == program
    assert (DEPLOY / service["build"]["context"]).resolve() == REPOSITORY
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]


def test_prometheus_watches_the_services_by_their_admin_ports():
    config = DEPLOY / "compose" / "prometheus.yaml"
    done = subprocess.run(
        [tool("promtool"), "check", "config", "--syntax-only", config],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    scraped = {
        target
        for job in yaml.safe_load(config.read_text())["scrape_configs"]
        for group in job["static_configs"]
        for target in group["targets"]
    }
    admin = {p: re.search(r"EXPOSE \d+ (\d+)", stage(p)).group(1) for p in BINARIES}
    assert scraped == {f"{program}:{port}" for program, port in admin.items()}


def test_the_fake_provider_takes_its_command(tmp_path):
    _, script, *options = SERVICES["fake-provider"]["command"]
    assert script == "/fake_provider"
    options[options.index("--port") + 1] = "0"
    fake = REPOSITORY / "tests" / "support" / "fake_provider"
    program = Program("fake-provider", [sys.executable, fake, *options], tmp_path)
    assert program.stop() == 0
    assert program.addresses["http"].startswith("0.0.0.0:")
    assert program.addresses["control"].startswith("127.0.0.1:")
