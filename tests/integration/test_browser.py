"""What web pages can do to the proxy, in a real browser: those of others nothing, those of a listed origin all."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from support.arrivals import Arrivals
from support.browser import Site, visiting
from support.oracle import StrictOrigin
from support.origin import Origin
from support.servers import free_port
from support.stack import direct_options, timeouts
from support.wire import answer

from proxy.app import App
from proxy.http.address import Bind

PREAMBLE = """<!doctype html><meta charset="utf-8"><title>page</title><body><script>
const proxy = %(proxy)s, site = %(site)s, results = {};
function soon(promise) {
  return Promise.race([promise, new Promise((resolve) => setTimeout(resolve, 3000, "silence"))]);
}
async function attempt(name, act) {
  try { results[name] = String(await soon(act(proxy + "/v1/" + name))); } catch (error) { results[name] = "blocked"; }
}
function report() {
  return fetch(site + "/report", {method: "POST", mode: "no-cors", body: JSON.stringify(results)});
}
function loaded(element, url) {
  return new Promise((resolve) => {
    element.onload = () => resolve("loaded");
    element.onerror = () => resolve("blocked");
    element.src = url;
    document.body.append(element);
  });
}
function inside(frame) {
  try { return frame.contentDocument === null ? "opaque" : "read " + frame.contentDocument.body.innerText; }
  catch (error) { return "opaque"; }
}
let frames = 0;
function framed() {
  const frame = document.createElement("iframe");
  frame.name = "frame" + ++frames;
  document.body.append(frame);
  return [frame, new Promise((resolve) => { frame.onload = () => resolve(inside(frame)); })];
}
function form(url, method, enctype) {
  const [frame, shown] = framed();
  const form = document.createElement("form");
  Object.assign(form, {action: url, method, enctype, target: frame.name});
  form.innerHTML = '<input name="a" value="b">';
  document.body.append(form);
  form.submit();
  return shown;
}
async function seen(response) { return response.type === "opaque" ? "opaque" : "read " + await response.text(); }
"""

ATTACKS = """
(async () => {
  await attempt("form-post", (url) => form(url, "POST", "application/x-www-form-urlencoded"));
  await attempt("form-multipart", (url) => form(url, "POST", "multipart/form-data"));
  await attempt("form-text", (url) => form(url, "POST", "text/plain"));
  await attempt("form-get", (url) => form(url, "GET", ""));
  await attempt("fetch", async (url) => seen(await fetch(url)));
  await attempt("fetch-text", async (url) => seen(await fetch(url, {method: "POST", body: "{}"})));
  await attempt("fetch-no-cors", async (url) => seen(await fetch(url, {mode: "no-cors"})));
  await attempt("post-no-cors", async (url) => seen(await fetch(url, {method: "POST", mode: "no-cors", body: "{}"})));
  await attempt("fetch-cookies", async (url) => seen(await fetch(url, {mode: "no-cors", credentials: "include"})));
  await attempt("json", async (url) => seen(await fetch(
    url, {method: "POST", body: "{}", headers: {"Content-Type": "application/json", "X-Custom": "1"}})));
  await attempt("delete", async (url) => seen(await fetch(url, {method: "DELETE"})));
  await attempt("xhr", (url) => new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.onload = () => resolve("read " + request.responseText);
    request.onerror = reject;
    request.open("POST", url);
    request.send("{}");
  }));
  await attempt("image", (url) => loaded(new Image(), url));
  await attempt("script", (url) => loaded(document.createElement("script"), url));
  await attempt("module", (url) => loaded(Object.assign(document.createElement("script"), {type: "module"}), url));
  await attempt("style", (url) => new Promise((resolve) => {
    const link = Object.assign(document.createElement("link"), {rel: "stylesheet", href: url});
    link.onload = () => resolve("loaded");
    link.onerror = () => resolve("blocked");
    document.head.append(link);
  }));
  await attempt("frame", (url) => { const [frame, shown] = framed(); frame.src = url; return shown; });
  await attempt("websocket", (url) => new Promise((resolve, reject) => {
    const socket = new WebSocket(url.replace("http:", "ws:"));
    socket.onopen = () => resolve("open");
    socket.onerror = reject;
  }));
  await attempt("events", (url) => new Promise((resolve, reject) => {
    const events = new EventSource(url);
    events.onopen = () => resolve("open");
    events.onerror = () => { events.close(); reject(); };
  }));
  await attempt("redirected", async (url) => seen(await fetch(
    site + "/redirect?to=" + encodeURIComponent(url), {method: "POST", mode: "no-cors", body: "{}"})));
  await attempt("sandboxed", (url) => {
    const [frame, shown] = framed();
    frame.sandbox = "allow-scripts allow-forms";
    frame.srcdoc = `<form action="${url}" method="POST"></form><script>document.forms[0].submit()</` + "script>";
    return shown;
  });
  await attempt("beacon", (url) => { navigator.sendBeacon(url, "{}"); return "opaque"; });
  await attempt("window", (url) => {
    const other = open(url);
    return new Promise((resolve) => setTimeout(() => {
      try { resolve("read " + other.document.body.innerText); } catch (error) { resolve("opaque"); }
    }, 300));
  });
  await attempt("../-/status", async (url) => seen(await fetch(url)));
  await attempt("../-/refresh", async (url) => seen(await fetch(url, {method: "POST", mode: "no-cors"})));
  await attempt("../-/stop", async (url) => seen(await fetch(url, {method: "POST", mode: "no-cors"})));
  await attempt("../-/stop", (url) => form(url, "POST", "text/plain"));
  await attempt("../-/stop", (url) => { navigator.sendBeacon(url, ""); return "opaque"; });
  await report();
})();
</script>"""

ALLOWED = """
(async () => {
  await attempt("get", async (url) => seen(await fetch(url)));
  await attempt("json", async (url) => {
    const answer = await fetch(
      url, {method: "POST", body: '{"a":1}', headers: {"Content-Type": "application/json", "X-Custom": "1"}});
    return answer.status + " " + answer.headers.get("X-Answer") + " " + (await answer.json()).b;
  });
  await attempt("delete", async (url) => seen(await fetch(url, {method: "DELETE"})));
  await report();
})();
</script>"""

REBOUND = """
(async () => {
  await report();
  await fetch(site + "/wait");
  const here = location.origin + "/v1/";
  await attempt("read", async () => "status " + (await fetch(here + "read")).status);
  await attempt("write", async () => "status " + (await fetch(here + "write", {
    method: "POST", body: "{}", headers: {"Content-Type": "application/json"}})).status);
  await attempt("status", async () => "status " + (await fetch(location.origin + "/-/status")).status);
  await report();
})();
</script>"""

FOREIGN_DOCUMENT = b"""<!doctype html><body onload="fetch('/v1/stolen')">
<script>fetch("/v1/stolen"); document.write('<img src="/v1/stolen">')</script>
<form action="/v1/stolen" method="POST"></form><script>document.forms[0].submit()</script>
<img src="/cdn/flights/nothing" onerror="fetch('/v1/stolen')">
<img src="/cdn/flights/last">"""

HARMLESS = {"blocked", "opaque"}
OWN_PATHS = {"/-/status", "/-/refresh", "/-/stop"}
FAVICON = {"/favicon.ico": 204}
"""What a browser itself asks for, in no page's name, once it shows something of the proxy's in a window."""


def page(script: str, *, proxy: str, site: str) -> str:
    return PREAMBLE % {"proxy": json.dumps(proxy), "site": json.dumps(site)} + script


@asynccontextmanager
async def proxy(upstream: str, **options: Any) -> AsyncIterator[tuple[str, Arrivals]]:
    """The address of a proxy, as a page would write it, and what arrives there."""
    arrivals = Arrivals()
    async with App(direct_options(upstream, timeouts=timeouts(drain=0.2), **options), access=arrivals) as app:
        yield app.urls[0].replace("127.0.0.1", "localhost"), arrivals


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "evil.test"])
async def test_a_hostile_page(host: str) -> None:
    """Whatever a page of another origin tries, nothing goes upstream and nothing can be read.

    Another port is another origin; and that one origin may does not let in another.
    """
    async with StrictOrigin().running() as origin, Site().running() as site:
        others = {} if host == "localhost" else {"allowed_origins": frozenset({site.origin("localhost")})}
        async with proxy(origin.url, enable_stop=True, **others) as (url, arrivals):
            site.pages = {"/": page(ATTACKS, proxy=url, site=site.origin(host))}
            async with visiting(site.origin(host)):
                results = await site.report()
                await arrivals.of({f"/v1/{name}" for name in results if not name.startswith("..")} | OWN_PATHS)
    assert len(results) >= 25
    assert {name: result for name, result in results.items() if result not in HARMLESS} == {}
    assert {entry.path: entry.status for entry in arrivals.entries if entry.status != 403} in ({}, FAVICON)
    assert {read.target for read in origin.requests} <= {b"/favicon.ico"}


async def test_a_rebound_name() -> None:
    """A page whose name leads to the proxy in the end is of its origin for the browser, and is refused all the same."""
    port = free_port()
    async with AsyncExitStack() as stack:
        origin = await stack.enter_async_context(StrictOrigin().running())
        other = await stack.enter_async_context(Site().running())
        theirs = Site({"/": page(REBOUND, proxy="", site=other.origin("localhost"))})
        async with theirs.running(port):
            await stack.enter_async_context(visiting(f"http://evil.test:{port}/"))
            assert await other.report() == {}
        # From here on the page's own address is the proxy's.
        _, arrivals = await stack.enter_async_context(proxy(origin.url, listen=(Bind("127.0.0.1", port),)))
        other.go_on.set()
        results = await other.report()
    assert results == {"read": "status 403", "write": "status 403", "status": "status 403"}
    assert {entry.status for entry in arrivals.entries} == {403}
    assert origin.received == 0


async def test_a_page_of_an_allowed_origin() -> None:
    """A listed origin reads and writes, also what a browser asks leave for first; the asking stays here."""
    content = b'{"b": "two"}'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Answer: yes\r\nContent-Length: %d\r\n" % len(
        content
    )
    theirs = b"Access-Control-Allow-Origin: https://elsewhere.example\r\nAccess-Control-Allow-Credentials: true\r\n"
    async with Origin([head + theirs + b"\r\n" + content]).running() as origin, Site().running() as site:
        allowed = frozenset({f"http://localhost:{site.port}"})
        async with proxy(origin.url, allowed_origins=allowed) as (url, arrivals):
            site.pages = {"/": page(ALLOWED, proxy=url, site=site.origin("localhost"))}
            async with visiting(site.origin("localhost")):
                results = await site.report()
    text = content.decode()
    assert results == {"get": f"read {text}", "json": "200 yes two", "delete": f"read {text}"}
    lines = [request.request_line.split(b" ")[:2] for request in origin.requests]
    assert lines == [[b"GET", b"/v1/get"], [b"POST", b"/v1/json"], [b"DELETE", b"/v1/delete"]]
    assert origin.requests[1].body == b'{"a":1}'
    assert origin.requests[1].values(b"X-Custom") == [b"1"]
    assert all(request.values(b"Authorization") == [b"Bearer pat-1"] for request in origin.requests)
    assert {entry.method for entry in arrivals.entries} == {"GET", "POST", "DELETE", "OPTIONS"}


async def test_an_address_that_a_person_typed() -> None:
    """Nobody is shut out who opens an address of the proxy in a browser."""
    async with StrictOrigin().running() as origin, proxy(origin.url) as (url, arrivals):
        visit = visiting(url + "/v1/typed")
        async with visit:
            await arrivals.of({"/v1/typed"})
    assert arrivals.entries[0].status == 204
    assert origin.requests[0].target == b"/v1/typed"


async def test_a_document_of_an_upstream() -> None:
    """A file with a script in it, opened through the proxy, is no page of the proxy's own: it cannot use the login."""
    answers = [answer(200, b"Content-Type: text/html", body=FOREIGN_DOCUMENT), answer(404)]
    async with Origin(answers).running() as origin, proxy(origin.url) as (url, arrivals):
        visit = visiting(url + "/cdn/flights/page.html")
        async with visit:
            await arrivals.of({"/cdn/flights/page.html", "/cdn/flights/nothing", "/cdn/flights/last"})
            # What a script would have done by now, it would have begun before the last picture.
            await asyncio.sleep(0.2)
    assert not any(b"stolen" in request.head for request in origin.requests)
