"""The line that sends a request again: right for a shell, whatever the request is made of, and without a secret."""

import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http.grammar.fields import Header
from proxy.observe.inspector.curl import CurlTarget, curl_line
from proxy.observe.inspector.masks import HIDDEN, Masks
from proxy.observe.inspector.wire import RecordedRequest

ORIGIN = "http://localhost:8080"
JSON = (b"Content-Type", b"application/json")


def line(method: str = "GET", target: str = "/v1/job", *fields: Header, content: bytes | None = b"") -> str:
    request = RecordedRequest(method, target, fields, has_content=content != b"")
    return curl_line(CurlTarget(ORIGIN), request, content, Masks(["hunter2!"]))


def words(text: str) -> list[str]:
    """What a POSIX shell makes of a line: the arguments that curl is given."""
    script = f"curl() {{ printf '%s\\0' \"$@\"; }}\n{text}"
    done = subprocess.run(["sh", "-c", script], capture_output=True, check=True, env={"UL_PROXY_CLIENT_TOKEN": "t k"})
    return done.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize(
    ("method", "content", "options"),
    [
        ("GET", b"", []),
        ("HEAD", b"", ["-I"]),
        ("DELETE", b"", ["-X", "DELETE"]),
        ("POST", b"", ["-X", "POST"]),
        ("POST", b'{"a": "it\'s"}', ["-H", "Content-Type: application/json", "--data-raw", '{"a": "it\'s"}']),
        ("PUT", b"a", ["-X", "PUT", "-H", "Content-Type: application/json", "--data-raw", "a"]),
        ("GET", b"a", ["-X", "GET", "-H", "Content-Type: application/json", "--data-raw", "a"]),
        ("HEAD", b"a", ["-X", "HEAD", "-H", "Content-Type: application/json", "--data-raw", "a"]),
        ("POST", None, ["-H", "Content-Type: application/json", "--data-binary", "@content"]),
        ("POST", b"\xff\x00", ["-H", "Content-Type: application/json", "--data-binary", "@content"]),
        ("POST", b"a\x1b[201~b", ["-H", "Content-Type: application/json", "--data-binary", "@content"]),
    ],
)
def test_methods(method: str, content: bytes | None, options: list[str]) -> None:
    """curl is told the method where it would choose another, and what to send, from a file where that is no text."""
    fields = [JSON] if content != b"" else []
    assert words(line(method, "/v1/job", *fields, content=content)) == ["-sS", *options, ORIGIN + "/v1/job"]


def test_fields() -> None:
    """What the caller said goes along, but for what curl says itself and for what is nobody else's business."""
    fields = [
        (b"Host", b"localhost"),
        (b"User-Agent", b"curl/8"),
        (b"Accept", b"*/*"),
        (b"Accept-Language", b"de; q=0.5, *"),
        (b"X-Empty", b""),
        (b"X-Shell", b"$(id) `id` \\ \"'!"),
        (b"Authorization", b"Bearer abc"),
        (b"Cookie", b"a=b"),
        (b"X-Ul-Proxy-Token", b"abc"),
        (b"X-Note", b"of hunter2!, it is"),
        (b"X-Raw", b"\x9b1m"),
        (b"Sec-Fetch-Site", b"same-origin"),
        (b"Proxy-Connection", b"close"),
        (b"X-UL-Proxy-Profile", b"work"),
    ]
    assert words(line("GET", "/v1/job", *fields)) == [
        "-sS",
        *("-H", "Accept-Language: de; q=0.5, *"),
        *("-H", "X-Empty;"),
        *("-H", "X-Shell: $(id) `id` \\ \"'!"),
        *("-H", "X-UL-Proxy-Profile: work"),
        ORIGIN + "/v1/job",
    ]


def test_no_content_type() -> None:
    """curl calls contents forms; where the caller called one nothing, nothing is said."""
    assert words(line("POST", content=b"a")) == ["-sS", "-H", "Content-Type:", "--data-raw", "a", ORIGIN + "/v1/job"]


def test_accept() -> None:
    """Accept goes along where it says more than curl's own."""
    assert "Accept: text/csv" in words(line("GET", "/", (b"Accept", b"text/csv")))


@pytest.mark.parametrize("target", ["/v1/{a,b}", "/v1?ids[]=1"])
def test_globs(target: str) -> None:
    """curl takes braces and brackets as they are."""
    assert words(line("GET", target)) == ["-sS", "-g", ORIGIN + target]


def test_secrets() -> None:
    """What was masked is left for a person to fill in."""
    text = line("POST", "/v1?token=abc", JSON, content=b'{"password": "x", "note": "hunter2!"}')
    assert words(text)[-1] == f"{ORIGIN}/v1?token={HIDDEN}"
    assert words(text)[-2] == f'{{"password": "{HIDDEN}", "note": "{HIDDEN}"}}'


def test_client_token() -> None:
    """Where callers need the client token, the line takes it from the shell's environment."""
    text = curl_line(CurlTarget(ORIGIN, with_token=True), RecordedRequest("GET", "/", ()), b"", Masks())
    assert words(text) == ["-sS", "-H", "X-UL-Proxy-Token: t k", ORIGIN + "/"]


def test_certificate() -> None:
    """Where it takes an option to trust the proxy, the line has it."""
    place = CurlTarget("https://localhost:1", "--cacert /c.pem")
    text = curl_line(place, RecordedRequest("DELETE", "/", ()), b"", Masks())
    assert words(text) == ["-sS", "--cacert", "/c.pem", "-X", "DELETE", "https://localhost:1/"]


TARGETS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)
CONTENTS = st.text(
    st.characters(blacklist_categories=["Cs", "Cc"], whitelist_characters="\n\t"), min_size=1, max_size=30
)


@given(TARGETS, VALUES, CONTENTS)
def test_quoting(target: str, value: str, content: str) -> None:
    """A shell reads back what was written, however it looks."""
    request = RecordedRequest("POST", "/" + target, ((b"X-A", value.encode()), JSON), has_content=True)
    text = curl_line(CurlTarget(ORIGIN), request, content.encode(), Masks())
    if HIDDEN in text:
        return
    given = words(text)
    assert given[-2:] == [content, f"{ORIGIN}/{target}"]
    assert given == shlex.split(text)[1:]
    assert (f"X-A: {value}" if value else "X-A;") in given
