"""Which GraphQL requests are known to do nothing but read."""

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.errors import ReadOnly
from proxy.forward.graphql import MAX_BATCH, MAX_DOCUMENT, MAX_TOKENS, judge
from proxy.http.grammar.fields import Header

LIMIT = 1 << 20
JSON: Header = (b"Content-Type", b"application/json")
READ = "{ list(limit: 3) { items { name } } }"
WRITE = 'mutation { delete(item: {id: "c4n4ry"}) { id } }'


def post(body: bytes, *headers: Header, query: str = "", limit: int = LIMIT) -> None:
    judge("POST", headers or (JSON,), query, body, limit=limit)


def ask(document: str, **more: Any) -> None:
    post(json.dumps({"query": document, **more}).encode())


def get(query: str, method: str = "GET") -> None:
    judge(method, (), query, b"", limit=LIMIT)


# ---- documents

READS = {
    "shorthand": READ,
    "keyword": f"query {READ}",
    "named": f"query All {READ}",
    "with variables": "query Get($id: ID! = 1, $o: O = {a: [1, 2.5, true, null, E]}) { get(item: {id: $id}) { id } }",
    "several": f"query A {READ} query B {READ}",
    "fragments": "query { get { ...F ... on Item { id } } } fragment F on Item { name }",
    "fragment first": "fragment F on Item { name } query { get { ...F } }",
    "directives": "query @live { a @include(if: true) b @skip(if: $c) ...F @defer } fragment F on T { d }",
    "introspection": "{ __schema { types { name fields { name type { name kind } } } } __typename }",
    "aliases called mutation": "{ mutation: get { id } subscription(mutation: mutation) { mutation } }",
    "named mutation": "query mutation { get { id } }",
    "a fragment on Mutation": "{ ...F } fragment F on Mutation { id }",
    "a comment says mutation": "# mutation { delete }\n{ get { id } } # subscription",
    "a text says mutation": '{ get(a: "} mutation { delete }") { id } }',
    "a block says mutation": '{ get(a: """} mutation { delete } \\""" """) { id } }',
    "an escaped quote": r'{ get(a: "\" mutation { x }") { id } }',
    "commas and BOM": "\ufeff,{,get,{,id,},},",
    "CR LF": "# one\r\n{ get # two\r\n { id } }\r\n",
    "tabs": "\t{\tget\t{\tid\t}\t}\t",
    "beyond ASCII": '{ get(a: "♥ é 🦄") { id } } # ♥',
    "deep": "{a" * 40 + "}" * 40,
}
WRITES = {
    "mutation": WRITE,
    "named": "mutation Delete { delete { id } }",
    "subscription": "subscription { changed { id } }",
    "with variables": "mutation($id: ID!) { delete(id: $id) { id } }",
    "behind a query": f"query A {READ} {WRITE}",
    "before a query": f"{WRITE} query A {READ}",
    "after a fragment": f"fragment F on Item {{ id }} {WRITE}",
    "after a comment": f"# {READ}\n{WRITE}",
    "after a comment in CR LF": f"# {READ}\r\n{WRITE}",
    "after BOM and commas": f"\ufeff,, ,\n{WRITE}",
    "glued": "{a}mutation{b}",
    "after a text": f'{{ a(b: "\\"") }} {WRITE}',
    "after a block": f'{{ a(b: """ " """) }} {WRITE}',
    "after a block with an escape": f'{{ a(b: """ \\""" """) }} {WRITE}',
    "in many words": "mutation\n#\n,\nM\n#\n(\n$a\n:\nI\n)\n{\nb\n}",
}


def ways_to_ask(document: str) -> list[Callable[[], None]]:
    """Requests that carry a document, each in another way."""
    asked, other = {"query": document}, {"query": READ}
    return [
        partial(ask, document),
        partial(ask, document, operationName="A", variables={"a": 1}),
        partial(post, document.encode(), (b"content-type", b"application/graphql")),
        partial(get, f"query={quote(document)}"),
        partial(get, f"query={quote_plus(document)}&operationName=A&variables=%7B%7D", "HEAD"),
        partial(post, json.dumps([asked, other]).encode()),
        partial(post, json.dumps([other, asked]).encode()),
    ]


@pytest.mark.parametrize("document", READS.values(), ids=READS)
def test_reads(document: str) -> None:
    """Queries pass, by every way and in every dress, whatever words stand in them."""
    for request in ways_to_ask(document):
        request()


@pytest.mark.parametrize("document", WRITES.values(), ids=WRITES)
def test_writes(document: str) -> None:
    """A mutation or subscription anywhere in a document is refused, by every way, and none of it is repeated."""
    for request in ways_to_ask(document):
        with pytest.raises(ReadOnly, match=r"holds a (mutation|subscription)") as caught:
            request()
        assert "c4n4ry" not in caught.value.detail + caught.value.hint
        assert caught.value.hint


UNPARSABLE = {
    "empty": "",
    "blank": " \n ",
    "comment alone": "# nothing",
    "no document": "hello",
    "left open": "{ a { b }",
    "closed twice": "{ a } }",
    "text left open": '{ a(b: "',
    "fragments alone": "fragment F on Item { id }",
    "schema": "type Query { a: Int }",
    "schema beside a query": "{ a } type Query { a: Int }",
    "extension": "{ a } extend type Query { a: Int }",
    "other operation": "transaction { a }",
    "capitals": "MUTATION { a }",
    "JSON": '{"query": "{a}"}',
    "too deep": "{a" * 5000 + "}" * 5000,
    "left open too deep": "[" * 5000,
    "too many tokens": "{" + " a" * MAX_TOKENS + "}",
    "too long": "{ a }" + " " * MAX_DOCUMENT,
    "NUL": "{ a }\0",
    "lone CR": "{ a } #\rmutation { b }",
    "lone CR hides a block": '{a(x: #\r"""\n1)} mutation M {b} #"""\n)}',
    "line separator": "{ a } # \u2028 mutation { b }",
    "paragraph separator": "{ a } # \u2029 mutation { b }",
    "next line": "{ a } # \x85 mutation { b }",
    "form feed": "{ a } # \x0c mutation { b }",
    "vertical tab": "{ a } # \x0b mutation { b }",
    "escape": '{ a(b: "\x1b") }',
    "lone surrogate": '{ a(b: "\ud800") }',
}


@pytest.mark.parametrize("document", UNPARSABLE.values(), ids=UNPARSABLE)
def test_unparsable_documents(document: str) -> None:
    """What cannot be parsed, is no document of operations, or could be read in another way is refused."""
    with pytest.raises(ReadOnly, match="cannot judge"):
        ask(document)
    if document.isascii() and document.isprintable() and len(document) < MAX_DOCUMENT:
        with pytest.raises(ReadOnly, match="cannot judge"):
            get(f"query={quote(document)}")


# ---- what carries them

BODIES = {
    "empty": b"",
    "null": b"null",
    "text": b'"{ a }"',
    "number": b"1",
    "object without query": b"{}",
    "query null": b'{"query": null}',
    "query a number": b'{"query": 1}',
    "query an object": b'{"query": {"query": "{a}"}}',
    "query a list": b'{"query": ["{a}"]}',
    "other letters": b'{"Query": "{a}"}',
    "both in other letters": b'{"query": "{a}", "Query": "mutation{b}"}',
    "twice the same": b'{"query": "{a}", "query": "{a}"}',
    "twice": b'{"query": "mutation{b}", "query": "{a}"}',
    "twice, once escaped": b'{"query": "{a}", "\\u0071uery": "mutation{b}"}',
    "variables twice": b'{"query": "{a}", "variables": {}, "variables": {}}',
    "twice within variables": b'{"query": "{a}", "variables": {"b": [{"c": 1, "c": 2}]}}',
    "operationName twice": b'{"query": "{a}", "operationName": "A", "operationName": "B"}',
    "persisted": b'{"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "ab"}}}',
    "persisted beside a query": b'{"query": "{a}", "extensions": {"persistedQuery": {"version": 1}}}',
    "extensions a list": b'{"query": "{a}", "extensions": [{"persistedQuery": 1}]}',
    "id": b'{"id": "ab"}',
    "id beside a query": b'{"query": "{a}", "id": "ab"}',
    "documentId": b'{"query": "{a}", "documentId": "ab"}',
    "doc_id": b'{"query": "{a}", "doc_id": "ab"}',
    "mutation beside a query": b'{"query": "{a}", "mutation": "{b}"}',
    "NaN": b'{"query": "{a}", "variables": {"a": NaN}}',
    "Infinity": b'{"query": "{a}", "variables": {"a": -Infinity}}',
    "long number": b'{"query": "{a}", "variables": {"a": ' + b"9" * 5000 + b"}}",
    "trailing comma": b'{"query": "{a}",}',
    "comment": b'{"query": "{a}" /* */}',
    "single quotes": b"{'query': '{a}'}",
    "two values": b'{"query": "{a}"}{"query": "mutation{b}"}',
    "raw newline": b'{"query": "{a\n}"}',
    "raw NUL": b'{"query": "{a}"}\0',
    "deep list": b"[" * 100_000,
    "deep variables": b'{"query": "{a}", "variables": ' + b'{"a":' * 100_000,
    "empty batch": b"[]",
    "batch of batches": b'[[{"query": "{a}"}]]',
    "batch with null": b'[{"query": "{a}"}, null]',
    "batch with a persisted one": b'[{"query": "{a}"}, {"id": "ab"}]',
    "large batch": json.dumps([{"query": "{a}"}] * (MAX_BATCH + 1)).encode(),
    "long batch": json.dumps([{"query": "{a}" + " " * (MAX_DOCUMENT // 2)}] * 3).encode(),
    "Latin-1": '{"query": "{a} # é"}'.encode("latin-1"),
    "UTF-16": '{"query": "{a}"}'.encode("utf-16"),
    "UTF-16 without BOM": '{"query": "{a}"}'.encode("utf-16-le"),
    "UTF-32": '{"query": "{a}"}'.encode("utf-32"),
    "BOM twice": b'\xef\xbb\xbf\xef\xbb\xbf{"query": "{a}"}',
    "surrogates in UTF-8": b'{"query": "{a} # \xed\xa0\x80"}',
    "overlong UTF-8": b'{"query": "{a} # \xc0\xaf"}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_refuses_bodies(body: bytes) -> None:
    """JSON that has two meanings, none, or that asks for a document which the server keeps is refused."""
    with pytest.raises(ReadOnly, match="cannot judge"):
        post(body)


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"query": "{a}"}',
        b' \n{ "variables" : null , "query" : "\\u007ba\\u007D", "operationName": null, "extensions": null }\r\n',
        b'{"query": "{a}", "extensions": {"trace": true}, "variables": {"Query": 1, "query": 2, "n": 1e400}}',
        json.dumps([{"query": "{a}"}] * MAX_BATCH).encode(),
    ],
    ids=["BOM", "spaces and escapes", "extensions and variables", "batch"],
)
def test_lets_bodies_through(body: bytes) -> None:
    """JSON with one meaning passes, however it is written."""
    post(body)


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON", "application/json; charset=utf-8", 'application/json;charset="UTF-8"',
     "application/json ; charset=utf8; x=y", "application/graphql+json"],
)  # fmt: skip
def test_content_types(content_type: str) -> None:
    """JSON in UTF-8 is understood, whatever case and parameters its type is written in."""
    post(b'{"query": "{a}"}', (b"CONTENT-type", content_type.encode()))


@pytest.mark.parametrize(
    "headers",
    [
        [(b"Accept", b"*/*")],
        [JSON, JSON],
        [JSON, (b"content_type", b"text/plain")],
        [(b"Content-Type", b"")],
        [(b"Content-Type", b"text/plain")],
        [(b"Content-Type", b"application/x-www-form-urlencoded")],
        [(b"Content-Type", b"multipart/form-data; boundary=x")],
        [(b"Content-Type", b"application/json, text/plain")],
        [(b"Content-Type", b"application/jsonp")],
        [(b"Content-Type", b"application/json; charset=utf-16")],
        [(b"Content-Type", b"application/json; charset=utf-7")],
        [(b"Content-Type", b"application/json; charset=iso-8859-1")],
        [(b"Content-Type", b"application/json; CHARSET =utf-16".replace(b" =", b"="))],
        [(b"Content-Type", b"application/json; charset=utf-8; charset=utf-7")],
        [JSON, (b"Content-Encoding", b"gzip")],
        [JSON, (b"Content-Encoding", b"identity")],
        [JSON, (b"content_encoding", b"br")],
    ],
    ids=repr,
)
def test_refuses_other_content(headers: list[Header]) -> None:
    """Forms, compressed content, other encodings than UTF-8, and types that are missing or there twice are refused."""
    with pytest.raises(ReadOnly, match="cannot judge"):
        post(b'{"query": "{a}"}', *headers)


def test_document_alone_is_no_json() -> None:
    """Each type of content is read as what it says it is."""
    for body, kind in ((b'{"query": "{a}"}', b"application/graphql"), (b"{a}", b"application/json")):
        with pytest.raises(ReadOnly):
            post(body, (b"Content-Type", kind))


def test_limit() -> None:
    """Content that is longer than the limit is not looked at."""
    body = b'{"query": "{a}"}'
    post(body, limit=len(body))
    with pytest.raises(ReadOnly, match="too long"):
        post(body, limit=len(body) - 1)


@pytest.mark.parametrize(
    "query",
    ["query=%7Ba%7D", "query=mutation%7Bb%7D", "Query=x", "id=ab", "extensions=%7B%7D", "operationName=A", "a=b", "x"],
)
def test_post_with_parameters(query: str) -> None:
    """A server may believe the URL rather than the content, so that there must not be two to choose from."""
    with pytest.raises(ReadOnly, match="URL"):
        post(b'{"query": "{a}"}', query=query)


@pytest.mark.parametrize("query", ["", "&", "&&"])
def test_nothing_asked(query: str) -> None:
    """A GET that asks for nothing does nothing; a POST may have an empty query."""
    get(query)
    post(b'{"query": "{a}"}', query=query)


@pytest.mark.parametrize(
    "query",
    [
        "query=",
        "query",
        "query=%7Ba%7D&query=%7Ba%7D",
        "query=%7Ba%7D&query=mutation%7Bb%7D",
        "query=%7Ba%7D&%71uery=mutation%7Bb%7D",
        "query=%7Ba%7D&Query=mutation%7Bb%7D",
        "query=%7Ba%7D&query[]=mutation%7Bb%7D",
        "query=%7Ba%7D&query%5B0%5D=mutation%7Bb%7D",
        "query=%7Ba%7D&query.x=mutation%7Bb%7D",
        "query=%7Ba%7D&+query=mutation%7Bb%7D",
        "query=%7Ba%7D&x=y",
        "query=%7Ba%7D&id=ab",
        "query=%7Ba%7D;query=mutation%7Bb%7D",
        "query=%7Ba%7D%23;query=mutation%7Bb%7D",
        "id=ab",
        "documentId=ab",
        "variables=%7B%7D",
        "extensions=%7B%22persistedQuery%22:%7B%7D%7D",
        "query=%7Ba%7D&extensions=%7B%22persistedQuery%22:%7B%7D%7D",
        "query=%7Ba%7D&extensions=%7B%22a%22:1,%22a%22:2%7D",
        "query=%7Ba%7D&extensions=x",
        "query=%7Ba%7D&extensions=%5B%5D",
        "query=%7Ba%7D%",
        "query=%7Ba%7D%zz",
        "query=%7Ba%7D%20%23%20%e9",
        "query=%7Ba%7D%00",
        "query=%7Ba",
    ],
)
def test_refuses_urls(query: str) -> None:
    """A URL with a parameter twice, unknown ones, persisted queries or broken escapes is refused."""
    for method in ("GET", "HEAD"):
        with pytest.raises(ReadOnly, match="cannot judge"):
            get(query, method)


def test_get_with_extensions() -> None:
    """Extensions that name no document are let through."""
    get("query=%7Ba%7D&extensions=%7B%22trace%22:true%7D&operationName=&variables=%7B%7D")


def test_get_with_content() -> None:
    """Some servers read the content of a GET."""
    with pytest.raises(ReadOnly, match="GET with content"):
        judge("GET", (), "query=%7Ba%7D", b'{"query": "mutation{b}"}', limit=LIMIT)


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.floats() | st.text(max_size=5), max_size=4))
def test_variables_do_not_matter(variables: dict[str, Any]) -> None:
    """Any variables may go with a query, unless JSON cannot say them."""
    body = json.dumps({"query": READ, "variables": variables})
    if "NaN" in body or "Infinity" in body:
        return
    post(body.encode())


@given(st.binary(max_size=60), st.sampled_from((JSON, (b"Content-Type", b"application/graphql"))))
def test_any_bytes_get_a_verdict(body: bytes, kind: Header) -> None:
    """Whatever bytes arrive, they are let through or refused; nothing else is raised."""
    try:
        post(body, kind)
    except ReadOnly:
        return
    assert b"{" in body


TOKEN = re.compile(
    r'''"""(?:\\"""|[\s\S])*?"""|"(?:\\.|[^"\\\n])*"|#[^\n]*|[A-Za-z_]\w*|[^\s,\ufeff]'''
)  # GraphQL's lexical grammar, as far as the pieces below need it
pieces = st.sampled_from(
    [
        *("{a}", "{", "}", "(", ")", "x:", "1", "A", "...F", "@d", "query", "mutation", "subscription"),
        *("fragment F on T", "#", "\n", "\r\n", " ", ",", "\ufeff", '"', '"""', "\\", '\\"""'),
    ]
)
documents = st.lists(pieces, max_size=10).map("".join) | st.lists(pieces, max_size=10).map(
    lambda parts: "{a}" + "".join(parts) + "{a}"
)


def beginnings(document: str) -> set[str]:
    """With what the definitions of a document begin, read by another lexer than the one that is tested."""
    found, depth, begins = set(), 0, True
    for token in TOKEN.findall(document):
        if token.startswith("#") or (begins and token.startswith('"')):  # a description
            continue
        if begins:
            found.add(token)
        depth += {"{": 1, "}": -1}.get(token, 0)
        begins = token == "}" and depth == 0
    return found


@given(documents)
@example('{a(x:"#")}mutation{b}')
@example('{a(x:"""\\""" """)}mutation{b}')
def test_what_passes_begins_no_operation_that_writes(document: str) -> None:
    """No document that passes has a definition that begins otherwise than a query or a fragment does."""
    try:
        ask(document)
    except ReadOnly:
        return
    assert beginnings(document) <= {"{", "query", "fragment"}
