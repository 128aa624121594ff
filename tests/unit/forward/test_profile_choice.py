"""Which profile a request chooses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import BadRequest, UnknownProfile
from proxy.forward.profile_choice import Choice, chosen, named_in


@pytest.mark.parametrize(
    ("target", "named", "choice"),
    [
        ("/v1/job", None, ("default", "", "/v1/job")),
        ("/v1/job", "a", ("a", "", "/v1/job")),
        ("/v1/job", "", ("", "", "/v1/job")),
        ("/@a/v1/job?x=/@b/", None, ("a", "/@a", "/v1/job?x=/@b/")),
        ("/@a/v1/job", "a", ("a", "/@a", "/v1/job")),
        ("/@a", None, ("a", "/@a", "/")),
        ("/@a/", None, ("a", "/@a", "/")),
        ("/@a?x=1", None, ("a", "/@a", "/?x=1")),
        ("/@a//v1", None, ("a", "/@a", "//v1")),
        ("/@a/../v1", None, ("a", "/@a", "/../v1")),
        ("/@a/@b/v1", None, ("a", "/@a", "/@b/v1")),
        ("/@a/-/status", None, ("a", "/@a", "/-/status")),
        ("/@A_b-9/v1", None, ("A_b-9", "/@A_b-9", "/v1")),
        ("/@default/v1", None, ("default", "/@default", "/v1")),
        ("/v1/@a/x", None, ("default", "", "/v1/@a/x")),
        ("/%40a/v1", None, ("default", "", "/%40a/v1")),
    ],
)
def test_choice(target: str, named: str | None, choice: tuple[str, str, str]) -> None:
    """The path's beginning goes, and the rest is as it was written."""
    assert chosen(target, named) == choice


@pytest.mark.parametrize("target", ["/@", "/@/v1", "/@a.b/v1", "/@a%62/v1", "/@é/v1", "/@@a/v1", "/@a;x/v1", "/@a\\v1"])
def test_what_is_no_name(target: str) -> None:
    """Behind /@ there is a profile's name, or nothing is sent anywhere."""
    with pytest.raises(UnknownProfile):
        chosen(target, None)


def test_path_and_header_that_disagree() -> None:
    """Which of the two was meant is not for the proxy to guess."""
    with pytest.raises(BadRequest):
        chosen("/@a/v1", "b")


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        ((), None),
        (((b"Host", b"x"),), None),
        (((b"X-UL-Proxy-Profile", b"a"),), "a"),
        (((b"x-ul-proxy-profile", b"a"), (b"X-UL-PROXY-PROFILE", b"a")), "a"),
        (((b"X-UL-Proxy-Profile", b""),), ""),
        (((b"X-UL-Proxy-Profile", b"\xe9"),), "é"),
        (((b"X_UL_Proxy_Profile", b"a"),), None),
    ],
)
def test_header(lines: tuple[tuple[bytes, bytes], ...], name: str | None) -> None:
    """The header chooses, in whatever case it is written."""
    assert named_in(lines) == name


def test_headers_that_disagree() -> None:
    """Two names are no choice."""
    with pytest.raises(BadRequest):
        named_in(((b"X-UL-Proxy-Profile", b"a"), (b"X-UL-Proxy-Profile", b"b")))


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40))
def test_what_is_left_is_a_path(rest: str) -> None:
    """Whatever stands behind the name, what is judged begins with a slash and loses nothing else."""
    try:
        choice: Choice = chosen("/@a" + rest, None)
    except UnknownProfile:
        return
    assert choice.target.startswith("/")
    assert choice.target.endswith(rest.partition("/")[2] if choice.name != "a" else rest)
