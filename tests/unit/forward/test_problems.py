"""Errors as answers: RFC 9457 problem details, GraphQL errors, and RFC 9209 Proxy-Status."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from proxy import errors
from proxy.errors import ProxyError, Source
from proxy.forward.problems import error_response
from proxy.http.response import Response, json_response


def leaves(base: type[ProxyError] = ProxyError) -> Iterator[type[ProxyError]]:
    """Every error that can be raised: those with a status and a code."""
    for subclass in base.__subclasses__():
        if hasattr(subclass, "code") and subclass.__module__ == errors.__name__:
            yield subclass
        yield from leaves(subclass)


LEAVES = sorted(set(leaves()), key=lambda leaf: leaf.__name__)
every_error = pytest.mark.parametrize("error", LEAVES, ids=lambda error: str(error.__name__))


def header(answer: Response, name: str) -> str | None:
    """The one value of a header, None where it is absent."""
    values = [value.decode() for key, value in answer.headers if key.lower() == name.lower().encode()]
    assert len(values) <= 1
    return values[0] if values else None


def body(answer: Response) -> Any:
    return json.loads(answer.body)


@every_error
def test_problem_details(error: type[ProxyError]) -> None:
    """An error is a problem document with all of its facts, and with its status in the document and on the wire."""
    answer = error_response(error("what happened", hint="what mends it"), graphql=False)
    assert answer.status == error.status
    assert header(answer, "Content-Type") == "application/problem+json"
    assert body(answer) == {
        "type": f"urn:ul-proxy:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": "what happened",
        "code": error.code,
        "source": str(error.source),
        "hint": "what mends it",
    }


@every_error
def test_graphql_errors(error: type[ProxyError]) -> None:
    """On a GraphQL route the same facts stand in the extensions of one entry of `errors`."""
    answer = error_response(error("what happened", hint="what mends it"), graphql=True)
    assert answer.status == error.status
    assert header(answer, "Content-Type") == "application/json"
    extensions = {
        "status": error.status,
        "title": error.title,
        "code": error.code,
        "source": str(error.source),
        "hint": "what mends it",
    }
    assert body(answer) == {"data": None, "errors": [{"message": "what happened", "extensions": extensions}]}


@every_error
def test_headers_of_every_answer(error: type[ProxyError]) -> None:
    """Every answer of the proxy's own says so, is not cached and has the length that it says; a 401, and nothing else,
    names the schemes that are understood (RFC 9110 section 11.6.1)."""
    for graphql in (False, True):
        answer = error_response(error("é"), graphql=graphql)
        assert header(answer, "Proxy-Status") == f"ul-proxy; error={error.proxy_status}"
        assert header(answer, "Cache-Control") == "no-store"
        assert header(answer, "Content-Length") == str(len(answer.body))
        assert body(answer)
        challenges = [value for name, value in answer.headers if name == b"WWW-Authenticate"]
        wanted = [b'Bearer realm="ul-proxy"', b'Basic realm="ul-proxy"'] if error.status == 401 else []
        assert challenges == wanted


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, None), (0, "1"), (-3, "1"), (0.2, "1"), (1, "1"), (1.01, "2"), (59.5, "60"), (3600, "3600")],
)
def test_retry_after(seconds: float | None, shown: str | None) -> None:
    """Retry-After is in whole seconds, rounded up, never zero, and absent where nobody knows."""
    answer = error_response(errors.SignInFailed("x", retry_after=seconds), graphql=False)
    assert header(answer, "Retry-After") == shown


@pytest.mark.parametrize(
    "text", ['quote " and \\', "line\r\nX-Injected: 1", "Zürich 東京 🦄", "\x00\x1b[0m"], ids=ascii
)
def test_odd_text_survives(text: str) -> None:
    """Whatever stands in a detail stands in the body alone, and comes out as it went in."""
    answer = error_response(errors.BadRequest(text, hint=text), graphql=False)
    assert (body(answer)["detail"], body(answer)["hint"]) == (text, text)
    assert not [value for _, value in answer.headers if b"\r" in value or b"\n" in value]


def test_lone_surrogates_survive() -> None:
    """Undecodable bytes of a request, kept as surrogates, do not break the answer that complains of them."""
    answer = error_response(errors.BadRequest("/\udce9"), graphql=False)
    assert answer.status == 400


def test_json_answer() -> None:
    """A value is answered as JSON in UTF-8, with the headers that were asked for behind the usual ones."""
    answer = json_response(200, {"city": "Zürich"}, (b"X-Extra", b"1"))
    assert answer.status == 200
    assert answer.body == '{"city": "Zürich"}\n'.encode()
    assert answer.headers == (
        (b"Content-Type", b"application/json"),
        (b"Content-Length", str(len(answer.body)).encode()),
        (b"Cache-Control", b"no-store"),
        (b"X-Extra", b"1"),
    )


def test_source_is_a_word() -> None:
    """`source` is one of the four words of the contract."""
    assert {str(source) for source in Source} == {"proxy", "cognito", "upstream", "client"}
