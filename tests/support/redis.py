"""Redis servers and a Sentinel as tests need them: on free ports, without files that stay, ended by
their own process id."""

import os
import pathlib
import shutil
import signal
import subprocess

from support.programs import free_port, wait_until

START_DEADLINE_S = 20


class RedisServer:
    """One redis-server. `options` are command-line options by name, for instance
    {"requirepass": "secret"}; `tls`: the directory with ca.pem, good.pem and good.key."""

    def __init__(self, directory, name="redis", options=None, tls=None, port=None, sentinel=None):
        binary = shutil.which("redis-server")
        assert binary, "redis-server is not installed"
        self.name = name
        self.port = port or free_port()
        self.password = (options or {}).get("requirepass")
        self._tls = pathlib.Path(tls) if tls else None
        self.log_path = pathlib.Path(directory) / f"{name}.log"
        self.is_ended_by_test = False
        command = [binary]
        if sentinel:
            config = pathlib.Path(directory) / f"{name}.conf"
            config.write_text(sentinel)
            command += [str(config), "--sentinel"]
        else:
            command += ["--save", "", "--appendonly", "no", "--dir", str(directory)]
            command += ["--repl-diskless-sync-delay", "0"]
        command += ["--bind", "127.0.0.1", *self._port_options()]
        for key, value in (options or {}).items():
            command += [f"--{key}", *str(value).split()]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory
            )
        try:
            wait_until(self._answers, f"{name} answers", START_DEADLINE_S)
        except BaseException:
            self.stop()
            raise

    def _port_options(self):
        if not self._tls:
            return ["--port", str(self.port)]
        return [
            *("--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"),
            *("--tls-cert-file", str(self._tls / "good.pem")),
            *("--tls-key-file", str(self._tls / "good.key")),
            *("--tls-ca-cert-file", str(self._tls / "ca.pem")),
        ]

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"{'rediss' if self._tls else 'redis'}://{self.address}/0"

    def log(self):
        return self.log_path.read_text(errors="replace")

    def command(self, *words):
        """What redis-cli prints for the command."""
        options = ["-p", str(self.port)]
        if self._tls:
            options += ["--tls", "--cacert", str(self._tls / "ca.pem")]
        done = subprocess.run(
            ["redis-cli", *options, *words],
            capture_output=True,
            text=True,
            timeout=20,
            env={**os.environ, "REDISCLI_AUTH": self.password or ""},
        )
        return done.stdout.strip()

    def _answers(self):
        assert self.process.poll() is None, f"{self.name} ended at start:\n{self.log()}"
        return self.command("PING") == "PONG"

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)
        state = pathlib.Path(f"/proc/{self.process.pid}/stat")
        wait_until(lambda: state.read_text().rsplit(") ")[1][0] == "T", f"{self.name} is stopped")

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.wait(START_DEADLINE_S)

    def stop(self):
        """Always succeeds: it is not what is tested."""
        if self.process.poll() is None:
            self.resume()
            self.kill()
        return 0
