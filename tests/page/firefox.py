"""Debian's Firefox, driven over Marionette, the socket that it opens for that: Playwright drives only a Firefox of its own."""

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

WAIT = 60


def path() -> str | None:
    """Return where Firefox is on this machine."""
    return shutil.which("firefox-esr") or shutil.which("firefox")


class Firefox:
    """A headless Firefox with a profile of its own; used in a `with` statement."""

    def __init__(self, profile: Path) -> None:
        self._profile = profile
        self._asked = 0

    def __enter__(self) -> "Firefox":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._profile.mkdir()
        preferences = {
            "marionette.port": port,
            "app.normandy.enabled": False,
            "app.update.enabled": False,
            "browser.safebrowsing.downloads.enabled": False,
            "browser.safebrowsing.malware.enabled": False,
            "datareporting.policy.dataSubmissionEnabled": False,
            "extensions.update.enabled": False,
            "network.captive-portal-service.enabled": False,
            "network.connectivity-service.enabled": False,
            "services.settings.server": "data:,",
            "toolkit.telemetry.enabled": False,
        }
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in preferences.items()]
        (self._profile / "user.js").write_text("".join(lines))
        command = [path() or "firefox", "--headless", "--no-remote", "--marionette", "--profile", str(self._profile)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self._socket = self._connect(port)
            self._read()
            self._call("WebDriver:NewSession", {"capabilities": {"alwaysMatch": {"pageLoadStrategy": "normal"}}})
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._socket.close()
        self._end()

    def open(self, address: str) -> None:
        """Open a page and wait until it has loaded."""
        self._call("WebDriver:Navigate", {"url": address})

    def run(self, script: str) -> Any:
        """Return what the body of a function returns in the page."""
        return self._call("WebDriver:ExecuteScript", {"script": script, "args": []})["value"]

    def wait_for(self, expression: str) -> None:
        """Return when the expression is true in the page; fail if it is not within a minute."""
        give_up = time.monotonic() + WAIT
        while not self.run(f"return Boolean({expression})"):
            assert time.monotonic() < give_up, expression
            time.sleep(0.05)

    def enter_frame(self, selector: str) -> None:
        """Go on inside a frame of the page."""
        found = self._call("WebDriver:FindElement", {"using": "css selector", "value": selector})["value"]
        self._call("WebDriver:SwitchToFrame", {"element": next(iter(found.values())), "focus": True})

    def resize(self, width: int, height: int) -> None:
        """Make the window this large."""
        self._call("WebDriver:SetWindowRect", {"width": width, "height": height})

    def screenshot(self) -> bytes:
        """Return a picture of the window as base64."""
        return str(self._call("WebDriver:TakeScreenshot", {"full": False})["value"]).encode()

    def _connect(self, port: int) -> socket.socket:
        give_up = time.monotonic() + WAIT
        while True:
            try:
                return socket.create_connection(("127.0.0.1", port), timeout=WAIT)
            except OSError:
                if time.monotonic() > give_up or self._process.poll() is not None:
                    raise
                time.sleep(0.1)

    def _call(self, name: str, parameters: dict[str, Any]) -> Any:
        self._asked += 1
        message = json.dumps([0, self._asked, name, parameters]).encode()
        self._socket.sendall(b"%d:%s" % (len(message), message))
        _, _, error, result = self._read()
        if error:
            raise RuntimeError(f"{name}: {error['error']}: {error['message']}")
        return result

    def _read(self) -> Any:
        length = b""
        while not length.endswith(b":"):
            length += self._receive(1)
        content = b""
        while len(content) < int(length[:-1]):
            content += self._receive(int(length[:-1]) - len(content))
        return json.loads(content)

    def _receive(self, most: int) -> bytes:
        received = self._socket.recv(most)
        if not received:
            raise ConnectionError("Firefox has closed the connection")
        return received

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
