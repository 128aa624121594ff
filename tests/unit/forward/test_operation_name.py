"""The name of a GraphQL operation, told at a glance: right or not at all."""

import json

import pytest

from proxy.forward.operation_name import LIMIT, operation_name

DOCUMENT = "query Items($n: Int) { list(limit: $n) { items { name } } }"


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (json.dumps({"operationName": "Items", "variables": {}, "query": DOCUMENT}), "Items"),
        (json.dumps({"query": DOCUMENT, "variables": {}, "operationName": "Items"}), "Items"),
        (json.dumps({"query": DOCUMENT, "operationName": "Items"}, separators=(",", ":")), "Items"),
        (json.dumps({"query": DOCUMENT, "operationName": "Items"}, indent=2) + "\n", "Items"),
        (json.dumps({"query": DOCUMENT}), "Items"),
        (json.dumps({"query": f"\n  {DOCUMENT}", "variables": {"n": 1}}), "Items"),
        (json.dumps({"query": "mutation\n\tRename { rename }"}), "Rename"),
        (json.dumps({"query": "subscription _S9 { x }"}), "_S9"),
        # The other operation is meant.
        (json.dumps({"query": "query A { a } query B { b }", "operationName": "B"}), "B"),
        (json.dumps({"query": "query A { a } query B { b }", "operationName": "B", "variables": {}}), ""),
        (json.dumps({"query": DOCUMENT, "operationName": None}), ""),
        # No name, or none that is certain.
        (json.dumps({"query": "{ list { items { name } } }"}), ""),
        (json.dumps({"query": "query { list { items { name } } }"}), ""),
        (json.dumps({"query": "fragment F on Item { name } query Items { a }"}), ""),
        (json.dumps({"query": "# query Items\nquery B { b }"}), ""),
        (json.dumps({"variables": {"operationName": "Fake"}, "query": DOCUMENT}), ""),
        (json.dumps({"variables": {"x": ', "operationName": "Fake"}'}, "query": "query Items { a }"}), ""),
        (json.dumps([{"query": DOCUMENT}]), ""),
        (json.dumps({"operationName": "It\nems", "query": DOCUMENT}), ""),
        (json.dumps({"operationName": "x" * 101, "query": DOCUMENT}), ""),
        ("", ""),
        ("not JSON", ""),
        ('{"operationName": "Items"', "Items"),
        (json.dumps({"operationName": "Items", "query": "x" * LIMIT}), ""),
    ],
)
def test_content(content: str, name: str) -> None:
    """Of the usual ways to write a request each gives its name, and others none rather than a wrong one."""
    assert operation_name("", content.encode()) == name


@pytest.mark.parametrize(
    ("query_string", "name"),
    [
        ("operationName=Items", "Items"),
        ("query=%7B%7D&operationName=Items&variables=%7B%7D", "Items"),
        ("query=%7B%7D", ""),
        ("xoperationName=Items", ""),
        ("operationName=", ""),
        ("operationName=It%0Aems", ""),
        ("operationName=a%22b", ""),
    ],
)
def test_url(query_string: str, name: str) -> None:
    """A GET names its operation in the URL."""
    assert operation_name(query_string, None) == name


def test_content_that_is_not_at_hand() -> None:
    """Nobody waits for a content for its name's sake."""
    assert operation_name("", None) == ""
