"""A headless Chromium, driven through chromedriver by the W3C WebDriver protocol."""

import base64
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request

from support.programs import free_port, wait_until

START_DEADLINE_S = 60
CALL_DEADLINE_S = 60
# Nothing leaves the machine, nothing is kept.
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


class Browser:
    """One window. Call close() in the end."""

    def __init__(self, *arguments):
        driver = shutil.which("chromedriver")
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        assert driver and chromium, "chromium and chromium-driver are not installed"
        self._home = tempfile.mkdtemp(prefix="candor-chromium-")
        self._address = f"127.0.0.1:{free_port()}"
        self._log = open(pathlib.Path(self._home) / "chromedriver.log", "wb")
        self._driver = subprocess.Popen(
            [driver, f"--port={self._address.rsplit(':', 1)[1]}"],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, "HOME": self._home},
            start_new_session=True,
        )
        self._session = None
        try:
            wait_until(self._is_ready, "chromedriver is ready", START_DEADLINE_S)
            options = {
                "binary": chromium,
                "args": [*ARGUMENTS, f"--user-data-dir={self._home}/profile", *arguments],
            }
            wanted = {
                "browserName": "chrome",
                "goog:chromeOptions": options,
                "goog:loggingPrefs": {"browser": "ALL"},
            }
            began = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
            self._session = f"/session/{began['sessionId']}"
        except BaseException:
            self.close()
            raise

    def _is_ready(self):
        assert self._driver.poll() is None, "chromedriver ended at start"
        try:
            return self._call("GET", "/status")["ready"]
        except OSError:
            return False

    def _call(self, method, path, value=None):
        data = None if value is None else json.dumps(value).encode()
        request = urllib.request.Request(f"http://{self._address}{path}", data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=CALL_DEADLINE_S) as reply:
                return json.loads(reply.read())["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode()}") from error

    def _do(self, path, value):
        return self._call("POST", self._session + path, value)

    def open(self, url):
        self._do("/url", {"url": url})

    def run(self, script, *arguments):
        """What the body of a JavaScript function returns."""
        return self._do("/execute/sync", {"script": script, "args": list(arguments)})

    def devtools(self, command, **parameters):
        """A command of Chromium's DevTools protocol."""
        return self._do("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def text(self, selector="body"):
        """The text of the first such element as a reader sees it."""
        return self.run("return document.querySelector(arguments[0]).innerText", selector)

    def texts(self, selector):
        script = "return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText)"
        return self.run(script, selector)

    def type(self, selector, text):
        """Into a text field, as a person does."""
        self.run("document.querySelector(arguments[0]).focus()", selector)
        for character in text:
            self.devtools("Input.dispatchKeyEvent", type="char", text=character)

    def resize(self, width, height, scheme="light", is_phone=False):
        """The viewport in CSS pixels; on a phone two device pixels make one."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if is_phone else 1,
            mobile=is_phone,
        )
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.devtools("Emulation.setEmulatedMedia", features=[feature])

    def screenshot(self, path):
        """Of the whole page, as a PNG file."""
        shot = self.devtools("Page.captureScreenshot", captureBeyondViewport=True)
        pathlib.Path(path).write_bytes(base64.b64decode(shot["data"]))

    def console(self):
        """What the page and the browser have written to the console since the last call."""
        return self._do("/se/log", {"type": "browser"})

    def close(self):
        try:
            if self._session:
                self._call("DELETE", self._session)
        finally:
            # The driver and all that it has started.
            os.killpg(self._driver.pid, signal.SIGKILL)
            self._driver.wait(CALL_DEADLINE_S)
            self._log.close()
            shutil.rmtree(self._home, ignore_errors=True)
