"""A headless Chromium over its debugging pipe: loads a page at a width, in light or dark, measures it and takes a picture."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
]
_MEASURE = """JSON.stringify({
  scroll: document.documentElement.scrollWidth,
  inner: window.innerWidth,
  height: document.documentElement.scrollHeight,
  paper: getComputedStyle(document.body).backgroundColor,
  broken: [...document.images].filter(image => !image.complete || !image.naturalWidth).length,
  outside: [...document.querySelectorAll('body *')].filter(node => {
    if (node.closest('.scroll, pre, svg')) return false;
    const box = node.getBoundingClientRect();
    return box.width && (box.right > window.innerWidth + 1 || box.left < -1);
  }).map(node => node.outerHTML.slice(0, 80)),
})"""


def find() -> str | None:
    """The browser's program: $CHROMIUM, chromium, or google-chrome."""
    named = os.environ.get("CHROMIUM")
    return named or next((path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), None)


class Page:
    """A tab, spoken to in the DevTools protocol. requests: addresses that the page asked for, other than itself."""

    def __init__(self, commands: IO[bytes], answers: IO[bytes]) -> None:
        self._commands, self._answers, self._number, self._session = commands, answers, 0, None
        self.requests: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime"):
            self._call(f"{domain}.enable")

    def load(self, path: Path, width: int, scheme: str) -> dict[str, Any]:
        """What the page measures at this width and colour scheme."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._call("Emulation.setEmulatedMedia", features=features)
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self._call("Page.navigate", url=path.resolve().as_uri())
        self._until("Page.loadEventFired")
        found: dict[str, Any] = json.loads(self._call("Runtime.evaluate", expression=_MEASURE)["result"]["value"])
        return found

    def picture(self, width: int, height: int) -> bytes:
        """PNG of the page from its top."""
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        answer = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(answer["data"])

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        self._commands.write(json.dumps(message).encode() + b"\0")
        self._commands.flush()
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                result: dict[str, Any] = answer["result"]
                return result

    def _until(self, event: str) -> None:
        while self._read().get("method") != event:
            pass

    def _read(self) -> dict[str, Any]:
        text = bytearray()
        while (letter := self._answers.read(1)) != b"\0":
            assert letter, "the browser ended"
            text += letter
        message: dict[str, Any] = json.loads(text)
        if message.get("method") == "Network.requestWillBeSent":
            address = message["params"]["request"]["url"]
            if not address.startswith(("data:", "file:")):
                self.requests.append(address)
        return message


@contextmanager
def browser(program: str, folder: Path) -> Iterator[Page]:
    """Starts the browser with an empty profile in `folder`."""
    read_commands, write_commands = os.pipe()
    read_answers, write_answers = os.pipe()

    def connect() -> None:  # the browser reads from 3 and writes to 4
        high = [os.dup(descriptor) for descriptor in (read_commands, write_answers)]
        os.dup2(high[0], 3)
        os.dup2(high[1], 4)

    process = subprocess.Popen(
        [program, *_FLAGS, f"--user-data-dir={folder}"], preexec_fn=connect, pass_fds=(3, 4),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(read_commands)
    os.close(write_answers)
    with os.fdopen(write_commands, "wb") as commands, os.fdopen(read_answers, "rb") as answers:
        try:
            yield Page(commands, answers)
        finally:
            process.terminate()
            process.wait(30)
