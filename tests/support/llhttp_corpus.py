"""The requests that llhttp is tested with: Markdown files whose code blocks have escapes of their own.

They travel in aiohttp's source distribution, which `make test` unpacks; nothing of them is copied here.
"""

import os
import re
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import pytest

FILES = (
    "connection",
    "content-length",
    "finish",
    "invalid",
    "lenient-header-value-relaxed",
    "lenient-headers",
    "lenient-version",
    "method",
    "pausing",
    "pipelining",
    "sample",
    "transfer-encoding",
    "uri",
)
"""Those with requests; `url` holds targets alone."""

_RUN_MAKE_TEST = "llhttp's corpus is not at hand (LLHTTP_CORPUS): run make test"
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_BLOCK = re.compile(r"^```(http|url)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ESCAPES = (
    (re.compile(r"\\\n"), lambda _: ""),
    (re.compile(r"\n"), lambda _: "\r\n"),
    (re.compile(r"\\([rntf])"), lambda match: {"r": "\r", "n": "\n", "t": "\t", "f": "\f"}[match[1]]),
    (re.compile(r"\\x([0-9a-fA-F]+)"), lambda match: chr(int(match[1], 16))),
    (re.compile(r"\\([0-7]{1,3})"), lambda match: chr(int(match[1], 8))),
)
"""In the order in which llhttp's own runner undoes them."""
_HOST = re.compile(rb"(\r\nhost:)[^\r]*", re.IGNORECASE)
_REQUEST_LINE = re.compile(rb"^([!-~]+ [!-~]+ [A-Za-z]+/[0-9.]+\r\n)", re.MULTILINE)


class Sample(NamedTuple):
    name: str
    data: bytes


def corpus() -> Path:
    """The folder with the corpus of the aiohttp that is installed. Its absence fails the test that asks for it."""
    place = os.environ.get("LLHTTP_CORPUS")
    if not place:
        pytest.fail(_RUN_MAKE_TEST, pytrace=False)
    folder = Path(place) / f"aiohttp-{version('aiohttp')}" / "vendor" / "llhttp" / "test"
    if not folder.is_dir():
        pytest.fail(f"{_RUN_MAKE_TEST} ({folder} is missing)", pytrace=False)
    return folder


def requests_in(file: Path) -> list[Sample]:
    """Every request of one file, with the heading that it stands under."""
    text = file.read_text("utf-8")
    samples: list[Sample] = []
    for block in _BLOCK.finditer(text):
        heading = _HEADING.findall(text, 0, block.start())[-1]
        data = unescaped(block[2])
        if block[1] == "url":
            data = b"GET %b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % data
        samples.append(Sample(heading, data))
    return samples


def unescaped(text: str) -> bytes:
    """The bytes that a code block stands for."""
    text = text.removesuffix("\n")
    for pattern, replacement in _ESCAPES:
        text = pattern.sub(replacement, text)
    if "${" in text:
        raise ValueError(f"this block asks for a JavaScript interpreter: {text!r}")
    return text.encode("latin-1" if all(ord(c) < 0x100 for c in text) else "utf-8")


def at_home(data: bytes) -> bytes:
    """The same request, addressed to this proxy: most of the corpus names no Host, or somebody else's."""
    if _HOST.search(data):
        return _HOST.sub(rb"\1 localhost", data)
    return _REQUEST_LINE.sub(rb"\1Host: localhost\r\n", data)
