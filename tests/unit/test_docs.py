"""Pages lead to each other, and what they name is there: files, classes, functions, tests and errors."""

import ast
import re
from collections.abc import Sequence

import pytest
from support.environment import ROOT
from support.naming import wrong_commands, wrong_variables

from proxy import errors
from proxy.settings.kinds import KINDS

PAGES = {
    str(path.relative_to(ROOT)): path.read_text("utf-8")
    for folder in ("*.md", "docs/**/*.md", "bench/*.md", "config/examples/*.md", "tests/vectors/*.md")
    for path in sorted(ROOT.glob(folder))
}
NAMED = re.compile(r"`((?:proxy|tests|docs|bench|tools|config|locks|\.github|\.ci)/[\w./*-]*)(?:::([\w.]+))?`")
"""A file or folder, and perhaps what a file defines; `NAME` in it stands for any name."""


def anchors(markdown: str) -> set[str]:
    """What links may name after a #: headings, as the usual renderers spell them."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", markdown, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_names_exist(page: str) -> None:
    """No page names a variable, a command or a command's flag that there is not."""
    assert [*wrong_variables(PAGES[page]), *wrong_commands(PAGES[page])] == []


@pytest.mark.parametrize("page", PAGES)
def test_links(page: str) -> None:
    """Every link within the repository leads to a file, and to a heading that is there."""
    for link in re.findall(r"\]\(([^)\s]+)\)", PAGES[page]):
        if link.startswith("https:"):
            continue
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text("utf-8")), link


def linked(page: str) -> set[str]:
    """The pages that a page leads to, directly or not."""
    found, left = set(), {page}
    while left:
        page = left.pop()
        found.add(page)
        targets = {(ROOT / page).parent / link for link in re.findall(r"\]\(([^):#\s]+\.md)", PAGES[page])}
        left |= {str(target.resolve().relative_to(ROOT)) for target in targets} - found
    return found


def test_every_page_is_found() -> None:
    """Links lead from the README to every page of the documentation."""
    assert [page for page in PAGES if page.startswith("docs/") and page not in linked("README.md")] == []


def defines(tree: ast.AST, names: Sequence[str]) -> bool:
    """Whether a class or function of the first name is in the tree, one of the next name in that, and so on."""
    if not names:
        return True
    return any(getattr(node, "name", None) == names[0] and defines(node, names[1:]) for node in ast.walk(tree))


@pytest.mark.parametrize("page", PAGES)
def test_files_exist(page: str) -> None:
    """Every file that a page names is there, and defines the class, function or test that the page names in it."""
    for path, name in NAMED.findall(PAGES[page]):
        assert list(ROOT.glob(path.replace("NAME", "*"))), f"there is no {path}"
        if name:
            assert defines(ast.parse((ROOT / path).read_bytes()), name.split(".")), f"{path} has no {name}"


def test_every_error_is_on_its_page() -> None:
    """The table of errors in docs/refusals.md has every code that a response can have."""
    rows = re.findall(r"^\| [\d, ]+ \| (.+?) \|", PAGES["docs/refusals.md"], re.MULTILINE)
    shown = {code for row in rows for code in re.findall(r"`(\w+)`", row)}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ProxyError)]
    at_the_start = {errors.SettingsError.code, errors.StartError.code, errors.NotRunning.code}
    assert {kind.code for kind in kinds if hasattr(kind, "code")} - at_the_start == shown


def test_every_kind_of_credential_is_on_its_page() -> None:
    """The example of a route in docs/settings.md has in a comment all that `auth` may be."""
    (shown,) = re.findall(r"^auth = .* # (.*)$", PAGES["docs/settings.md"], re.MULTILINE)
    assert set(re.split(r", | or ", shown)) == set(KINDS)
