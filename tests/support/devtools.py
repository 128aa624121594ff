"""A page in a real browser, looked at and handled from outside, by way of the DevTools protocol."""

import asyncio
import base64
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse

from support.browser import PATIENCE, visiting

_PAUSE = 0.05


class Page:
    """The page in the browser's only tab."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self.complaints: list[str] = []
        """What the browser had to say of the page: errors of its script, and what its policy forbids."""

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """What a command of the protocol returns."""
        number = next(self._ids)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(PATIENCE):
            while True:
                said = await self._socket.receive_json()
                if said.get("id") == number:
                    assert "error" not in said, said
                    result: dict[str, Any] = said["result"]
                    return result
                self._note(said)

    async def ask(self, expression: str) -> Any:
        """The value of an expression of JavaScript in the page; a promise's when it is there."""
        options = {
            "awaitPromise": True,
            "returnByValue": True,
            "userGesture": True,
            "allowUnsafeEvalBlockedByCSP": False,
        }
        said = await self.call("Runtime.evaluate", expression=expression, **options)
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    async def until(self, expression: str) -> Any:
        """The value of an expression once it is true."""
        try:
            async with asyncio.timeout(PATIENCE):
                while (value := await self.ask(expression)) in (None, False, "", 0):  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(_PAUSE)
                return value
        except TimeoutError:
            text = await self.ask("document.body.innerText")
            raise AssertionError(f"{expression} never came true; {self.complaints}; the page says:\n{text}") from None

    async def press(self, key: str) -> None:
        """Press a key, where the focus is."""
        text = {"text": key} if len(key) == 1 else {}
        await self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def look(self, path: Path, *, width: int, height: int, theme: str) -> None:
        """Take a picture of the page in a window of that size, in the theme `light` or `dark`."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.call("Emulation.setDeviceMetricsOverride", **size)
        await self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        path.write_bytes(base64.b64decode((await self.call("Page.captureScreenshot"))["data"]))

    def _note(self, said: dict[str, Any]) -> None:
        params = said.get("params", {})
        if said.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"]))
        elif said.get("method") == "Log.entryAdded":
            self.complaints.append(params["entry"]["text"])


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Page]:
    """A browser that shows `url`."""
    async with visiting("about:blank", "--remote-debugging-port=0") as profile, ClientSession() as session:
        port = await _port_in(profile / "DevToolsActivePort")
        async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            (tab,) = [tab for tab in await answer.json() if tab["type"] == "page"]
        async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            page = Page(socket)
            for domain in ("Runtime", "Log", "Page"):
                await page.call(f"{domain}.enable")
            await page.call("Page.navigate", url=url)
            await page.until("location.href !== 'about:blank' && document.readyState === 'complete'")
            yield page


async def _port_in(path: Path) -> int:
    """The port that the browser writes into a file once it listens."""
    async with asyncio.timeout(PATIENCE):
        while not (path.exists() and "\n" in path.read_text()):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(_PAUSE)
    return int(path.read_text().split("\n")[0])
