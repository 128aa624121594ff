"""Whose a session is, and what a store writes."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.sessions import POOL, PROFILE, session

from proxy.identity.profile import Profile
from proxy.identity.stores.records import DamagedError, NewerVersionError, decode, encode, key_of, record_of

NOBODY = replace(PROFILE, username=None, password=None)


@pytest.mark.parametrize(
    ("other", "serves"),
    [
        pytest.param(PROFILE, True, id="the profile itself"),
        pytest.param(replace(PROFILE, password=None), True, id="without its password"),
        pytest.param(NOBODY, True, id="whoever it is"),
        pytest.param(replace(PROFILE, username="real-name"), True, id="by the real name"),
        pytest.param(replace(PROFILE, username="ME"), True, id="in capitals"),
        pytest.param(replace(PROFILE, username="you"), False, id="another user"),
        pytest.param(replace(PROFILE, name="other"), False, id="another profile"),
        pytest.param(replace(PROFILE, pool=replace(POOL, user_pool_id="eu-west-1_x")), False, id="another pool"),
        pytest.param(replace(PROFILE, pool=replace(POOL, client_id="x")), False, id="another client"),
        pytest.param(replace(PROFILE, pool=replace(POOL, endpoint_url="http://127.0.0.1:1")), False, id="elsewhere"),
        pytest.param(replace(PROFILE, pool=replace(POOL, client_secret=None)), True, id="the same pool"),
    ],
)
def test_whose_a_session_is(other: Profile, serves: bool) -> None:
    """Nobody but the same profile, pool, client and user is given a session."""
    assert record_of(PROFILE, session(), None, 1.0).serves(other) is serves


def test_a_session_of_nobody_known_serves_the_profile() -> None:
    """Where neither name is known, the profile's word counts."""
    assert record_of(NOBODY, session(username=None), None, 1.0).serves(PROFILE)


@pytest.mark.parametrize(
    ("profile", "username", "login"),
    [
        pytest.param(NOBODY, "real-name", "me", id="the same user"),
        pytest.param(NOBODY, "another", None, id="another user"),
        pytest.param(replace(PROFILE, username="alias"), "real-name", "alias", id="another alias"),
    ],
)
def test_the_name_that_was_given_is_remembered(profile: Profile, username: str, login: str | None) -> None:
    """A renewal that needs no name does not forget the one that was given at the sign-in."""
    before = record_of(PROFILE, session(), None, 1.0)
    assert record_of(profile, session(username=username), before, 2.0).login == login


def test_what_is_written_is_read() -> None:
    """Text and back: the same sessions, with the time they were saved at."""
    records = [
        record_of(
            replace(PROFILE, name=name), session(name, device=None if name == "b" else session().device), None, 9.5
        )
        for name in ("a", "b")
    ]
    read = decode(encode(records))
    assert read == records
    assert [record.session.saved_at for record in read] == [9.5, 9.5]
    assert [record.key for record in read] == [key_of(replace(PROFILE, name=name)) for name in ("a", "b")]


def test_no_secret_is_shown() -> None:
    """A record's repr has neither the refresh token nor the device's password."""
    text = repr(record_of(PROFILE, session(), None, 1.0))
    assert "refresh-1" not in text
    assert "device-secret" not in text


WHOLE = encode([record_of(PROFILE, session(), None, 1.0)])


@given(st.integers(0, len(WHOLE) - 1))
def test_what_was_cut_off_is_damaged(length: int) -> None:
    """No beginning of a file passes for all of it."""
    with pytest.raises(DamagedError):
        decode(WHOLE[:length])


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\0" * 100,
        b"null",
        b"[]",
        b"{}",
        b'{"version": 1}',
        b'{"version": 0, "sessions": []}',
        b'{"version": "one", "sessions": []}',
        b'{"version": 1, "sessions": {}}',
        b'{"version": 1, "sessions": [{}]}',
        b'{"version": 1, "sessions": [1]}',
        b"[" * 100_000,
        WHOLE.replace(b'"refresh-1"', b"7"),
        WHOLE.replace(b'"real-name"', b"[]"),
        b"\xff" + WHOLE,
    ],
)
def test_damage(text: bytes) -> None:
    """What this program has not written is damage, and the error quotes none of it."""
    with pytest.raises(DamagedError) as caught:
        decode(text)
    assert str(caught.value) == ""
    assert caught.value.__suppress_context__


def test_a_later_version_is_no_damage() -> None:
    """What a later version has written is distinguished, whatever else it looks like."""
    with pytest.raises(NewerVersionError):
        decode(b'{"version": 2, "anything": "else"}')


def test_what_a_later_version_adds_is_ignored() -> None:
    """A key more does not make a file of this version unreadable."""
    document = json.loads(WHOLE)
    document["more"] = document["sessions"][0]["more"] = 1
    assert decode(json.dumps(document).encode()) == decode(WHOLE)
