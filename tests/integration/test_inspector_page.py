"""The inspector's page in a real browser: it shows what comes, as text whatever that is, and obeys its user's hands."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr
from support.browser import Site, visiting
from support.canaries import canary
from support.devtools import Page, opened
from support.origin import Origin, Slow
from support.stack import closing, direct_options, options_for, talk, timeouts
from support.wire import answer

from proxy.app import App
from proxy.http.address import Bind

ROWS = "[...document.querySelectorAll('tbody tr:not(.under)')].filter(row => !row.hidden)"
"""Those of requests that have ended."""
UNDER_WAY = "document.querySelector('tbody tr.under')"
HOSTILE = "<img src=x onerror=document.title='pwned'><script>document.title='pwned'</script>"


@asynccontextmanager
async def shown(origin: Origin, **changes: Any) -> AsyncIterator[tuple[App, Page]]:
    """A proxy, and its page in a browser that has heard of it."""
    async with App(direct_options(origin.url, timeouts=timeouts(drain=0.2), **changes)) as app:
        assert app.page_url is not None
        async with opened(app.page_url) as page:
            await page.until("document.getElementById('state').textContent === 'ready'")
            yield app, page


async def ask(app: App, target: str, *lines: str, method: str = "GET", body: bytes = b"") -> bytes:
    return await talk(app.urls[0], closing(method, target, *lines, body=body))


async def choose(page: Page, wanted: str) -> str:
    """The text of a row's details, once it has been clicked."""
    await page.ask(f"{wanted}.click()")
    details = "document.getElementById('details')"
    text: str = await page.until(f"{details}.ariaBusy === 'false' && {details}.innerText")
    return text


def row(text: str) -> str:
    return f"{ROWS}.find(row => row.textContent.includes({json.dumps(text)}))"


async def test_a_request(origin: Origin) -> None:
    """A request shows up by itself, and a click shows what went over the wire; the page's policy forbids it nothing."""
    origin.answers = [answer(200, b"Content-Type: application/json", body=b'{"a":[1]}')]
    async with shown(origin) as (app, page):
        assert f"curl -sS {app.urls[0]}/v1/job" in await page.ask("document.getElementById('empty').innerText")
        await ask(app, "/v1/job?limit=3&token=abc", "X-Mine: 1", method="POST", body=b'{"title":"Tower"}')
        await page.until(row("/v1/job?limit=3&token=•••"))
        assert await page.ask("document.getElementById('count').textContent") == "1 request"
        assert not await page.ask("document.getElementById('empty').offsetHeight")
        text = await choose(page, row("/v1/job"))
        for part in (
            "POST /v1/job?limit=3&token=•••",
            f"POST {origin.url}/v1/job",
            "X-Mine: 1",
            "Authorization: Bearer •••",
        ):
            assert part in text
        assert '{\n  "title": "Tower"\n}' in text
        assert '{\n  "a": [\n    1\n  ]\n}' in text
        assert "pat-1" not in await page.ask("document.documentElement.outerHTML")
        assert page.complaints == []


async def test_hostile_text() -> None:
    """Whatever comes over the wire is text: no field, path, content or reason becomes part of the page."""
    evil = HOSTILE.encode()
    answers = [answer(200, b"X-Evil: " + evil, b"Content-Type: text/html", body=evil, reason=evil)]
    async with Origin(answers).running() as origin, shown(origin) as (app, page):
        elements = "document.querySelectorAll('img, script').length"
        before = await page.ask(elements)
        path = "/v1/<script>document.title='pwned'</script>"
        await ask(app, path, f"X-Evil: {HOSTILE}", method="POST", body=evil)
        await ask(app, "/@<b>/x")
        await ask(app, f"/graphql?operationName=<b>&x={path}", f"X-Request-Id: {HOSTILE}")
        await page.until(f"{ROWS}.length === 3")
        texts = [await choose(page, f"{ROWS}[{n}]") for n in range(3)]
        # The request's field and content, and the answer's; its reason as well.
        assert texts[2].count(HOSTILE) == 5
        assert await page.ask(elements) == before
        assert await page.ask("document.querySelectorAll('tbody b').length") == 1  # the code of the profile's error
        assert await page.ask("document.title") == "ul-proxy"
        assert page.complaints == []


async def test_policy(origin: Origin) -> None:
    """Even a defect of the page's would make no markup, run no script and reach nobody."""
    async with shown(origin) as (app, page), Site().running() as site:
        report = site.origin("localhost") + "/report"
        ways = {
            "markup": "document.body.innerHTML = '<b>x</b>'",
            "code": "eval('1')",
            "elsewhere": f"await fetch('{report}', {{method: 'POST', mode: 'no-cors', body: '{{}}'}})",
        }
        for name, way in ways.items():
            said = await page.ask(f"(async () => {{ try {{ {way}; return 'done' }} catch {{ return 'refused' }} }})()")
            assert said == "refused", name
        inline = (
            "const s = document.createElement('script'); s.textContent = 'document.title = 1'; document.body.append(s)"
        )
        await page.ask(f"(() => {{ try {{ {inline} }} catch {{}} }})()")
        assert await page.ask("document.title") == "ul-proxy"
        assert site.reports.empty()
        assert app.in_flight == 0


async def test_filter_pause_and_clear(origin: Origin) -> None:
    """The list is narrowed by words and to errors, held still, and emptied."""
    origin.answers = [answer(200), answer(404), answer(200)]
    async with shown(origin) as (app, page):
        for target in ("/v1/one", "/v1/two", "/v1/three"):
            await ask(app, target)
        await page.until(f"{ROWS}.length === 3")
        texts = f"{ROWS}.map(row => row.querySelector('.path').textContent)"
        assert await page.ask(texts) == ["/v1/three", "/v1/two", "/v1/one"]
        await page.press("e")
        assert await page.ask(texts) == ["/v1/two"]
        assert await page.ask("document.getElementById('count').textContent") == "1 of 3 requests"
        await page.press("e")
        await page.press("/")
        await page.call("Input.insertText", text="GET ONE")
        assert await page.ask(texts) == ["/v1/one"]
        await page.ask("document.getElementById('filter').value = ''")
        await page.press("a")
        await page.ask("document.getElementById('filter').value = ''")
        await page.ask("document.getElementById('filter').dispatchEvent(new Event('input'))")
        await page.press("Escape")
        await page.press("p")
        await ask(app, "/v1/four")
        await page.until("document.getElementById('count').textContent.startsWith('1 waiting')")
        assert len(await page.ask(texts)) == 3
        await page.press("p")
        assert (await page.ask(texts))[0] == "/v1/four"
        await page.ask("document.getElementById('clear').click()")
        assert await page.ask(texts) == []
        await ask(app, "/v1/five")
        await page.until(f"{ROWS}.length === 1")


async def test_keys(origin: Origin) -> None:
    """Everything can be reached without a mouse: the rows by arrows, their details by Enter, and back."""
    async with shown(origin) as (app, page):
        for target in ("/v1/one", "/v1/two"):
            await ask(app, target)
        await page.until(f"{ROWS}.length === 2")
        await page.press("ArrowDown")
        focused = "document.activeElement.querySelector('.path')?.textContent"
        assert await page.ask(focused) == "/v1/two"
        await page.press("ArrowDown")
        assert await page.ask(focused) == "/v1/one"
        await page.press("Enter")
        await page.until("document.querySelector('#details h2')?.textContent === 'GET /v1/one'")
        await page.press("ArrowUp")
        await page.until("document.querySelector('#details h2')?.textContent === 'GET /v1/two'")
        await page.press("Escape")
        assert await page.ask("document.getElementById('details').hidden")
        assert await page.ask(focused) == "/v1/two"


async def test_copy(origin: Origin) -> None:
    """The line for curl is copied."""
    async with shown(origin) as (app, page):
        await page.call("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
        await ask(app, "/v1/job")
        await page.until(f"{ROWS}.length === 1")
        assert "Copy as curl" in await choose(page, f"{ROWS}[0]")
        await page.call("Page.bringToFront")
        await page.ask("document.querySelector('#details button').click()")
        await page.until("document.querySelector('#details button').textContent === 'Copied'")
        assert await page.ask("navigator.clipboard.readText()") == f"curl -sS {app.urls[0]}/v1/job"


async def test_under_way() -> None:
    """A request that takes long is there while it does."""
    slow = Slow()
    async with Origin(responder=slow).running() as origin, shown(origin) as (app, page):
        asking = asyncio.create_task(ask(app, "/v1/slow"))
        assert "/v1/slow" in await page.until(f"{UNDER_WAY}?.textContent")
        assert "once it has ended" in await choose(page, UNDER_WAY)
        slow.let.set()
        await asking
        await page.until("document.querySelector('#details .wire')")
        assert await page.ask(f"{ROWS}.length") == 1


async def test_a_proxy_that_ends_and_comes_back(origin: Origin) -> None:
    """The page says that the proxy has gone, and goes on by itself when there is one again."""
    async with AsyncExitStack() as stack:
        first = App(direct_options(origin.url, timeouts=timeouts(drain=0.2)))
        async with first:
            assert first.page_url is not None
            page = await stack.enter_async_context(opened(first.page_url))
            await page.until("document.getElementById('state').textContent === 'ready'")
            await ask(first, "/v1/before")
            await page.until(f"{ROWS}.length === 1")
            port = urlsplit(first.page_url).port
            assert port is not None
        await page.until("document.getElementById('state').className === 'away'")
        again = direct_options(origin.url, timeouts=timeouts(drain=0.2), listen=(Bind("127.0.0.1", port),))
        app = await stack.enter_async_context(App(again))
        await page.until("document.getElementById('state').textContent === 'ready'")
        await ask(app, "/v1/after")
        await page.until(f"{ROWS}.length === 2")


async def test_what_a_proxy_took_with_it() -> None:
    """What was under way when the proxy ended is not shown as under way for ever."""
    async with AsyncExitStack() as stack:
        origin = await stack.enter_async_context(Origin(responder=Slow()).running())
        async with App(direct_options(origin.url, timeouts=timeouts(drain=0.2))) as first:
            assert first.page_url is not None
            page = await stack.enter_async_context(opened(first.page_url))
            asking = asyncio.create_task(ask(first, "/v1/slow"))
            await page.until(UNDER_WAY)
            port = urlsplit(first.page_url).port
            assert port is not None
        await asyncio.gather(asking, return_exceptions=True)
        again = direct_options(origin.url, timeouts=timeouts(drain=0.2), listen=(Bind("127.0.0.1", port),))
        await stack.enter_async_context(App(again))
        await page.until(f"!{UNDER_WAY} && {ROWS}.length === 1")
        assert "lost" in await page.ask(f"{ROWS}[0].innerText")


async def test_a_proxy_that_is_not_ready() -> None:
    """The page says what is wrong, and what mends it."""
    options = options_for("http://127.0.0.1:9", "http://127.0.0.1:9", username=None, password=None)
    async with App(options) as app:
        assert app.page_url is not None
        async with opened(app.page_url) as page:
            state = "document.getElementById('state')"
            text = await page.until(f"{state}.className === 'unready' && {state}.innerText")
            profiles = await page.ask("document.getElementById('profiles').innerText")
    assert text.startswith("not ready: ")
    assert "ul-proxy login" in text
    assert profiles == "default no credential"


async def test_client_token(origin: Origin) -> None:
    """Who opens the page with the client token, as a browser sends it, sees requests; the page holds no token."""
    token = "0123456789abcdef"
    async with App(direct_options(origin.url, client_token=SecretStr(token), timeouts=timeouts(drain=0.2))) as app:
        assert app.page_url is not None
        async with opened(app.page_url.replace("://", f"://me:{token}@")) as page:
            await page.until("document.getElementById('state').textContent === 'ready'")
            await ask(app, "/v1/job", f"X-UL-Proxy-Token: {token}")
            await page.until(row("/v1/job"))
            assert "X-UL-Proxy-Token: •••" in await choose(page, row("/v1/job"))
            assert token not in await page.ask("document.documentElement.outerHTML")


FOREIGN = """<!doctype html><meta charset="utf-8"><body><script>
const results = {};
async function attempt(name, act) {
  try { results[name] = String(await act()); } catch (error) { results[name] = "blocked"; }
}
(async () => {
  for (const path of ["/-/", "/-/inspector/events", "/-/inspector/requests/1"]) {
    await attempt("fetch " + path, async () => "read " + (await fetch(PROXY + path)).status);
    await attempt("no-cors " + path, async () => "opaque " + (await fetch(PROXY + path, {mode: "no-cors"})).status);
  }
  await attempt("events", () => new Promise((resolve, reject) => {
    const events = new EventSource(PROXY + "/-/inspector/events");
    events.onopen = () => resolve("open");
    events.onmessage = (event) => resolve("read " + event.data);
    events.onerror = () => { events.close(); reject(); };
  }));
  await attempt("frame", () => new Promise((resolve) => {
    const frame = document.createElement("iframe");
    frame.onload = () => resolve(frame.contentDocument === null ? "blocked" : "read");
    frame.src = PROXY + "/-/";
    document.body.append(frame);
  }));
  await fetch("/report", {method: "POST", body: JSON.stringify(results)});
})();
</script>"""


@pytest.mark.parametrize("allowed", [False, True], ids=["a stranger", "an allowed origin"])
async def test_a_foreign_page(allowed: bool, origin: Origin) -> None:
    """No other page reads anything of the inspector, shows it in a frame or listens to its feed."""
    async with Site().running() as site:
        other = site.origin("localhost")
        async with shown(origin, allowed_origins=frozenset([other] if allowed else [])) as (app, page):
            await ask(app, "/v1/secret")
            await page.until(row("/v1/secret"))
            site.pages = {"/": FOREIGN.replace("PROXY", json.dumps(app.urls[0].replace("127.0.0.1", "localhost")))}
            async with visiting(other):
                results = await site.report()
    # An allowed origin may read that it is refused.
    harmless = {"blocked", "opaque 0", "read 403"} if allowed else {"blocked", "opaque 0"}
    assert len(results) == 8
    assert set(results.values()) <= harmless, results


async def test_secrets(origin: Origin) -> None:
    """Secrets in every place of a request and its answer are in nothing that the page shows."""
    secret = canary("wire")
    body = json.dumps(
        {"IdToken": secret, "deep": [{"password": secret}], "url": f"https://s3.test/?X-Amz-Signature={secret}"}
    )
    origin.answers = [
        answer(200, b"Content-Type: application/json", f"Set-Cookie: a={secret}".encode(), body=body.encode())
    ]
    own = SecretStr(canary("api_key"))
    async with shown(origin, api_key=own) as (app, page):
        lines = (f"Authorization: Bearer {secret}", f"Cookie: {secret}", f"X-Echo: {own.get_secret_value()}")
        await ask(app, f"/v1/job?token={secret}", *lines, method="POST", body=body.encode())
        await ask(app, "/v1/analytics/x")
        await page.until(f"{ROWS}.length === 2")
        for n in range(2):
            await choose(page, f"{ROWS}[{n}]")
            whole = await page.ask("document.documentElement.outerHTML")
            assert "•••" in whole
            assert secret not in whole
            assert own.get_secret_value() not in whole
