"""Portkey's open-source gateway, the npm package @portkey-ai/gateway, as it is without any
configuration: the provider is named by request headers. Installs itself into build/tools.

It listens on all interfaces, which cannot be configured; the suite talks to it on loopback.
"""

import json
import os
import shutil
import subprocess

from support import http_client, programs

from ..target import CannotGrade, Gateway

PACKAGE, VERSION = "@portkey-ai/gateway", "1.15.2"
# With a later server under it, as npm would choose, this version answers 500 to every stream.
SERVER, SERVER_VERSION = "@hono/node-server", "1.13.8"
PAIRS = [
    ("chat", "openai"),
    ("chat", "anthropic"),
    ("chat", "gemini"),
    ("responses", "openai"),
    ("messages", "anthropic"),
]
# Provider API -> Portkey's name for it, and what its base URL ends with.
PROVIDERS = {
    "openai": ("openai", "/v1"),
    "anthropic": ("anthropic", "/v1"),
    "gemini": ("google", ""),
}
TIMEOUT_MS = 1000
INSTALL_DEADLINE_S = 300


def start(setup):
    return Portkey(setup, _installed())


class Portkey(Gateway):
    waits_for_provider_s = TIMEOUT_MS / 1000

    def __init__(self, setup, program):
        port = programs.free_port()
        super().__init__(f"http://127.0.0.1:{port}")
        self._setup = setup
        self._log = setup.directory / "portkey.log"
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                ["node", str(program), f"--port={port}", "--headless"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "NODE_ENV": "production"},
            )
        try:
            programs.wait_until(lambda: self._answers(port), "Portkey answers", 60)
        except AssertionError as error:
            self.stop()
            raise CannotGrade(f"{error}: {self._log.read_text()[-2000:]}") from None

    def _answers(self, port):
        assert self._process.poll() is None, "Portkey ended at start"
        try:
            return http_client.get(f"127.0.0.1:{port}", "/").status
        except OSError:
            return None

    def headers(self, _trial):
        name, path = PROVIDERS[self._setup.provider_api]
        host = f"http://{self._setup.provider_address}{path}"
        return {
            "authorization": "Bearer not-a-secret",
            "x-portkey-provider": name,
            "x-portkey-custom-host": host,
            "x-portkey-request-timeout": str(TIMEOUT_MS),
        }

    def stop(self):
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)


def _installed():
    """The program; installs it when it is not there yet."""
    directory = programs.REPOSITORY / "build" / "tools" / f"portkey-{VERSION}"
    package = directory / "node_modules" / "@portkey-ai" / "gateway"
    program = package / "build" / "start-server.js"
    if program.exists():
        return program
    if not shutil.which("npm") or not shutil.which("node"):
        raise CannotGrade("Portkey needs npm and node: scripts/install test brings them")
    print(f"Installing {PACKAGE} {VERSION} into {directory}", flush=True)
    wanted = {"dependencies": {PACKAGE: VERSION}, "overrides": {SERVER: SERVER_VERSION}}
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "package.json").write_text(json.dumps(wanted))
    command = [
        "npm",
        "install",
        "--prefix",
        str(directory),
        "--no-audit",
        "--no-fund",
        "--no-update-notifier",
        "--loglevel=error",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_DEADLINE_S)
    except subprocess.TimeoutExpired:
        raise CannotGrade(f"npm install took longer than {INSTALL_DEADLINE_S} s") from None
    if done.returncode != 0 or not program.exists():
        raise CannotGrade(f"npm could not install {PACKAGE}: {done.stderr[-2000:]}")
    return program
