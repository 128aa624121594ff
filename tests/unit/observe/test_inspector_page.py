"""The page as it is sent: one document, that its own policy fits and that asks nothing of anybody else."""

import re
from base64 import b64decode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest

import proxy.observe.inspector
from proxy.observe.inspector.page import PAGE

FOLDER = Path(proxy.observe.inspector.__file__).parent
HEADERS = {name.decode(): value.decode() for name, value in PAGE.headers}
TEXT = PAGE.body.decode()


class Reader(HTMLParser):
    """Takes a document apart."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] in ("script", "style") and data.strip():
            self.inside.setdefault(self.tags[-1][0], data)


READER = Reader()
READER.feed(TEXT)


@pytest.mark.parametrize(("tag", "name"), [("script", "page.js"), ("style", "page.css")])
def test_policy_fits(tag: str, name: str) -> None:
    """The policy lets in the page's own script and style by their hashes, which are the files' own."""
    assert READER.inside[tag] == FOLDER.joinpath(name).read_text()
    found = re.search(rf"{tag}-src 'sha256-([^']+)'(?:;|$)", HEADERS["Content-Security-Policy"])
    assert found is not None
    assert b64decode(found[1]) == sha256(READER.inside[tag].encode()).digest()


def test_policy_of_all_else() -> None:
    """Nothing else is loaded, nothing framed, and no text becomes markup."""
    policy = HEADERS["Content-Security-Policy"].split("; ")
    for directive in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"):
        assert directive in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in HEADERS["Content-Security-Policy"]


def test_headers() -> None:
    """Nobody keeps the page, guesses at what it is or is told where it was."""
    assert HEADERS["Cache-Control"] == "no-store"
    assert HEADERS["X-Content-Type-Options"] == "nosniff"
    assert HEADERS["Referrer-Policy"] == "no-referrer"
    assert HEADERS["X-Frame-Options"] == "DENY"
    assert int(HEADERS["Content-Length"]) == len(PAGE.body)


def test_stands_alone() -> None:
    """No tag leads anywhere, and no script is in an attribute."""
    for tag, attributes in READER.tags:
        assert tag not in ("iframe", "object", "embed", "base")
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith("data:"), tag
    assert [tag for tag, _ in READER.tags].count("script") == 1


def test_script_makes_no_markup() -> None:
    """The script has no way to make markup or code of text."""
    script = FOLDER.joinpath("page.js").read_text()
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "srcdoc"):
        assert way not in script
