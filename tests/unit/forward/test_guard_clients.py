"""The client token: where it may stand, what counts as presented, and that it stays here."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from proxy.errors import ClientTokenRequired
from proxy.forward.guard.clients import check_client_token, without_client_token
from proxy.http.grammar.fields import Header

TOKEN = "c4n4ry:c4n4ry~c4n4ry"
SECRET = SecretStr(TOKEN)
RAW = TOKEN.encode()


def own(value: str = TOKEN) -> Header:
    return b"X-UL-Proxy-Token", value.encode()


def bearer(value: str = TOKEN) -> Header:
    return b"Authorization", b"Bearer " + value.encode()


def basic(user: str = "any", password: str = TOKEN) -> Header:
    return b"Authorization", b"Basic " + b64encode(f"{user}:{password}".encode())


RIGHT = {
    "own field": (own(),),
    "own field in other letters": ((b"x-ul-PROXY-token", RAW),),
    "bearer": (bearer(),),
    "bearer in other letters": ((b"authorization", b"bEARER  " + RAW),),
    "basic": (basic(),),
    "basic without a user": (basic(""),),
    "basic in other letters": ((b"AUTHORIZATION", basic()[1].replace(b"Basic", b"BASIC")),),
    "own field and an Authorization of the caller's": (own(), bearer("mine")),
    "own field and the same as bearer": (own(), bearer()),
    "own field and two Authorizations": (own(), bearer("mine"), bearer("yours")),
    "among others": ((b"Host", b"localhost"), own(), (b"Accept", b"*/*")),
}
WRONG = {
    "nothing": (),
    "another field": ((b"X-Token", RAW),),
    "underscores": ((b"X_UL_Proxy_Token", RAW),),
    "empty": (own(""),),
    "too short": (own(TOKEN[:-1]),),
    "too long": (own(TOKEN + "x"),),
    "other letters": (own(TOKEN.upper()),),
    "own field wrong, bearer right": (own("wrong"), bearer()),
    "own field empty, basic right": (own(""), basic()),
    "twice right": (own(), own()),
    "right, then wrong": (own(), own("wrong")),
    "wrong, then right": (own("wrong"), own()),
    "bearer twice": (bearer(), bearer()),
    "bearer right, then wrong": (bearer(), bearer("wrong")),
    "bearer wrong, then basic right": (bearer("wrong"), basic()),
    "bearer wrong": (bearer("wrong"),),
    "bearer empty": (bearer(""),),
    "basic wrong": (basic("any", "wrong"),),
    "token as the user": (basic(TOKEN, ""),),
    "basic without a colon": ((b"Authorization", b"Basic " + b64encode(b"c4n4ry")),),
    "basic not in Base64": ((b"Authorization", b"Basic \xff" + basic()[1][6:]),),
    "basic with rubbish behind": ((b"Authorization", basic()[1] + b" x"),),
    "no scheme": ((b"Authorization", RAW),),
    "another scheme": ((b"Authorization", b"Digest " + RAW),),
    "two tokens in one line": ((b"Authorization", b"Bearer " + RAW + b", Bearer wrong"),),
    "to another proxy": ((b"Proxy-Authorization", b"Bearer " + RAW),),
    "in a cookie": ((b"Cookie", b"token=" + RAW),),
}


@pytest.mark.parametrize("headers", RIGHT.values(), ids=RIGHT)
def test_right(headers: tuple[Header, ...]) -> None:
    """The token is accepted in its three forms."""
    check_client_token(headers, SECRET)


@pytest.mark.parametrize("headers", WRONG.values(), ids=WRONG)
def test_wrong(headers: tuple[Header, ...]) -> None:
    """A token that is missing, wrong, elsewhere or there twice lets nobody in, and is not repeated."""
    with pytest.raises(ClientTokenRequired) as caught:
        check_client_token(headers, SECRET)
    assert "c4n4ry" not in repr(caught.value) + caught.value.detail + caught.value.hint
    assert "X-UL-Proxy-Token" in caught.value.hint


def test_not_wanted() -> None:
    """Where no token is set, none is wanted, and whatever a caller presents is let in."""
    for headers in (RIGHT | WRONG).values():
        check_client_token(headers, None)


@pytest.mark.parametrize("headers", (RIGHT | WRONG).values(), ids=RIGHT | WRONG)
def test_token_stays_here(headers: tuple[Header, ...]) -> None:
    """Of the lines in which a token is accepted, none that holds it goes upstream, encoded or in part of a line."""
    for name, value in without_client_token(headers, SECRET):
        if name.lower() in (b"authorization", b"x-ul-proxy-token"):
            assert RAW not in value
            assert value != basic()[1]


@pytest.mark.parametrize(
    ("headers", "left"),
    [
        ((own(), bearer("mine"), (b"A", b"1")), (bearer("mine"), (b"A", b"1"))),
        ((own(), basic("me", "mine")), (basic("me", "mine"),)),
        ((bearer(), (b"A", b"1"), (b"A", b"2")), ((b"A", b"1"), (b"A", b"2"))),
        ((own(), (b"authorization", RAW)), ()),
        ((own(), basic(TOKEN, "")), ()),
        ((own(), basic("any", TOKEN + "x")), ()),
        ((own("other"), (b"X_UL_PROXY_TOKEN", b"x")), ()),
        (((b"AUTHORIZATION", b"Digest " + RAW),), ()),
    ],
)
def test_what_goes_on(headers: tuple[Header, ...], left: tuple[Header, ...]) -> None:
    """The caller's own Authorization goes on where the token stands elsewhere, and all other lines in their order."""
    assert without_client_token(headers, SECRET) == left


def test_without_a_token_set() -> None:
    """Where no token is set, the caller's Authorization is its own; the proxy's field stays here all the same."""
    assert without_client_token((own("x"), bearer("mine")), None) == (bearer("mine"),)


@given(st.text(st.characters(codec="utf-8"), max_size=20).filter(lambda text: text != TOKEN))
def test_any_other_text_is_wrong(text: str) -> None:
    """Nothing but the token is the token, whatever it is written in."""
    for line in (own(text), bearer(text), basic("any", text)):
        if line[1].removeprefix(b"Bearer ").strip() == RAW:
            continue
        with pytest.raises(ClientTokenRequired):
            check_client_token((line,), SECRET)
