"""Whether a GraphQL request only reads: judged on the whole document, with graphql-core's parser.

What a server executes depends on more than the text: on `operationName`, on documents that it keeps under an id, on
which of two equal keys it believes. So this errs on the safe side. A mutation or subscription anywhere in a document is
refused, also where `operationName` picks a query, and so is whatever cannot be judged or could be read in another way.
A request that passes goes upstream byte for byte.

The forms are those of GraphQL over HTTP: JSON by POST, alone or in batches; the document alone by POST; GET.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_plus

from proxy.errors import ReadOnly
from proxy.http.grammar.fields import Headers

MAX_DOCUMENT = 64 * 1024
"""Characters of all documents of a request together: parsing them may hold up everybody for a part of a second."""
MAX_TOKENS = 10_000
"""Of one document."""
MAX_BATCH = 20

_PARAMETERS = frozenset(("query", "variables", "operationName", "extensions"))
_JSON = frozenset(("application/json", "application/graphql+json"))
_DOCUMENT = "application/graphql"
_UTF8 = frozenset(("utf-8", "utf8"))
_BOM = b"\xef\xbb\xbf"
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
# These end a line to some parsers and not to others: what one takes for a comment, another might execute. And lone
# surrogates, which cannot be written in UTF-8.
_AMBIGUOUS = re.compile("\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_HINT = "Send one query as JSON (content-type: application/json), or unset read_only."


def judge(method: str, headers: Headers, query_string: str, body: bytes, *, limit: int) -> None:
    """Let a GraphQL request through that reads and does nothing else; raises ReadOnly.

    `query_string` is what stands behind `?` in the target, undecoded. `body` is all of the content; of one that is
    longer than `limit` bytes, at least a byte more than that. `method` is GET, HEAD or POST.
    """
    if len(body) > limit:
        raise _refusal("is too long to be judged")
    if _values(headers, b"content-encoding"):
        raise _refusal("is compressed")
    parameters = _parameters(query_string)
    if method == "POST":
        if parameters:
            raise _refusal("has parameters in its URL besides its content")
        documents = _documents(_media_type(headers), body)
    elif body:
        raise _refusal("is a GET with content")
    else:
        documents = _from_parameters(parameters)
    if sum(map(len, documents)) > MAX_DOCUMENT:
        raise _refusal("is too long to be judged")
    for document in documents:
        _judge_document(document)


@lru_cache(maxsize=32)
def _judge_document(document: str) -> None:
    # Remembered, because a program sends the same few documents again and again; a refusal is not.
    # graphql-core takes longer to import than the rest of the proxy; only read-only proxies need it.
    from graphql import (  # noqa: PLC0415
        FragmentDefinitionNode,
        GraphQLError,
        OperationDefinitionNode,
        OperationType,
        parse,
    )

    if _AMBIGUOUS.search(document):
        raise _refusal("holds characters that parsers do not agree on")
    try:
        definitions = parse(document, no_location=True, max_tokens=MAX_TOKENS).definitions
    except (GraphQLError, RecursionError):
        # The error quotes the document, in which there may be a secret.
        raise _refusal("holds a document that cannot be parsed, or is too large to be") from None
    operations = [node for node in definitions if isinstance(node, OperationDefinitionNode)]
    fragments = [node for node in definitions if isinstance(node, FragmentDefinitionNode)]
    if not operations or len(operations) + len(fragments) < len(definitions):
        raise _refusal("holds a document that is not made of operations and fragments")
    for operation in operations:
        if operation.operation is not OperationType.QUERY:
            raise ReadOnly(
                f"the proxy is read-only, and the GraphQL document holds a {operation.operation.value}",
                hint="Send queries alone, in a document of their own, or unset read_only.",
            )


def _documents(media_type: str, body: bytes) -> Sequence[str]:
    """Find the documents in the content of a POST."""
    text = _utf8(body.removeprefix(_BOM))
    if media_type == _DOCUMENT:
        return [text]
    if media_type not in _JSON:
        raise _refusal("has content that is neither JSON nor a GraphQL document")
    value = _parsed(text)
    batch = value if isinstance(value, list) else [value]
    if not 0 < len(batch) <= MAX_BATCH:
        raise _refusal(f"is a batch of none or of more than {MAX_BATCH} requests")
    return [_document(request) for request in batch]


def _document(request: Any) -> str:
    """Find the document in one request."""
    if not isinstance(request, dict) or not isinstance(request.get("query"), str):
        raise _refusal("holds no document: it may name one that the server keeps")
    if not request.keys() <= _PARAMETERS:
        raise _refusal("holds parameters besides query, variables, operationName and extensions")
    extensions = request.get("extensions")
    if extensions is not None and (not isinstance(extensions, dict) or "persistedQuery" in extensions):
        raise _refusal("names a document that the server keeps")
    document: str = request["query"]
    return document


def _from_parameters(parameters: Mapping[str, str]) -> Sequence[str]:
    """Find the document in the URL of a GET; none where nothing at all is asked."""
    if not parameters:
        return []
    named = {name: parameters[name.casefold()] for name in _PARAMETERS if name.casefold() in parameters}
    if len(named) < len(parameters):
        raise _refusal("holds parameters besides query, variables, operationName and extensions")
    return [_document(named | ({"extensions": _parsed(named["extensions"])} if "extensions" in named else {}))]


def _parameters(query_string: str) -> dict[str, str]:
    """Read the parameters of a URL by lower-case name; raises ReadOnly where two servers could disagree on them."""
    if _BAD_ESCAPE.search(query_string) or ";" in query_string:
        raise _refusal("has a URL that can be read in more ways than one")
    parameters: dict[str, str] = {}
    for pair in filter(None, query_string.split("&")):
        name, _, value = pair.partition("=")
        try:
            name, value = (unquote_plus(text, errors="strict") for text in (name, value))
        except UnicodeDecodeError:
            raise _refusal("is not in UTF-8") from None
        # `query[]`, `query[0]` and `query.x` are `query` to some.
        name = re.split(r"[\[.]", name.strip().casefold(), maxsplit=1)[0]
        if name in parameters:
            raise _refusal("has a parameter twice in its URL")
        parameters[name] = value
    return parameters


def _media_type(headers: Headers) -> str:
    """Read the media type of the content, in lower case."""
    given = _values(headers, b"content-type")
    if len(given) != 1:
        raise _refusal("has no Content-Type, or two")
    media_type, *parameters = given[0].decode("latin-1").lower().split(";")
    for parameter in parameters:
        name, _, value = parameter.strip().partition("=")
        if name == "charset" and value.strip('"') not in _UTF8:
            raise _refusal("is not in UTF-8")
    return media_type.strip()


def _parsed(text: str) -> Any:
    """Parse JSON that means the same to every parser: no key twice, none of the numbers that JSON does not have."""
    try:
        return json.loads(text, object_pairs_hook=_unambiguous, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise _refusal("is not JSON, or is nested too deeply") from None


def _unambiguous(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _refusal("has a key twice")
        found[key] = value
    return found


def _no_constant(name: str) -> Any:
    raise _refusal(f"holds {name}, which JSON does not have")


def _utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _refusal("is not in UTF-8") from None


def _values(headers: Headers, name: bytes) -> list[bytes]:
    return [value for line, value in headers if line.lower().replace(b"_", b"-") == name]


def _refusal(what: str) -> ReadOnly:
    return ReadOnly(f"the proxy is read-only and cannot judge a GraphQL request that {what}", hint=_HINT)
