"""What passes the proxy: hop-by-hop fields and callers' credentials stop, everything else keeps its bytes."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.forward import headers
from proxy.http.grammar import field_lines, lines_of, parse_head
from proxy.http.grammar.fields import Header
from proxy.identity.credentials import USUAL_FIELDS

ADDED = b"X-Amz-Cognito-Security-Token"
AUTHORITY = "api.unleashlive.com"
SENT_ALWAYS = [(b"Host", AUTHORITY.encode()), headers.VIA]


def sent(*lines: Header, added: bytes | None = ADDED) -> list[Header]:
    """What of `lines` goes upstream beside a credential in the field `added`, without what is always sent."""
    result = headers.to_upstream(lines, authority=AUTHORITY, replaces=replaced_by(added))
    for line in SENT_ALWAYS:
        result.remove(line)
    return result


def replaced_by(added: bytes | None) -> frozenset[bytes]:
    """What a credential in the field `added` takes the place of."""
    return frozenset() if added is None else USUAL_FIELDS | {added.lower()}


def returned(*lines: Header) -> list[Header]:
    """What of an upstream's `lines` goes back."""
    head, _ = parse_head(b"HTTP/1.1 200 OK\r\n" + field_lines(lines) + b"\r\n")
    return lines_of(headers.to_caller(head.section, head.proxy_fields))


@pytest.mark.parametrize(
    "name",
    [
        b"Connection",
        b"Keep-Alive",
        b"Proxy-Connection",
        b"Proxy-Authenticate",
        b"Proxy-Authorization",
        b"TE",
        b"Transfer-Encoding",
        b"Upgrade",
    ],
)
@pytest.mark.parametrize("spell", [bytes.lower, bytes.upper, bytes], ids=["lower", "upper", "usual"])
def test_hop_by_hop_fields_stop(name: bytes, spell: type[bytes]) -> None:
    """Hop-by-hop fields concern one connection and cross in neither direction, in any case."""
    assert sent((spell(name), b"x"), (b"Accept", b"*/*")) == [(b"Accept", b"*/*")]
    assert returned((spell(name), b"x"), (b"ETag", b"1")) == [(b"ETag", b"1"), headers.VIA]


@pytest.mark.parametrize(
    "connection",
    [
        [b"x-hop"],
        [b"X-HOP"],
        [b"close, X-Hop"],
        [b"close,x-hop,keep-alive"],
        [b" \tX-Hop\t , close"],
        [b",,x-hop,,"],
        [b"close", b"x-hop"],
    ],
)
def test_fields_that_connection_names_stop(connection: list[bytes]) -> None:
    """Fields that any Connection line names stop here, in both directions."""
    lines = [(b"X-Hop", b"1"), *((b"Connection", value) for value in connection), (b"x-HOP", b"2"), (b"X-Stay", b"3")]
    assert sent(*lines) == [(b"X-Stay", b"3")]
    assert returned(*lines) == [(b"X-Stay", b"3"), headers.VIA]


def test_connection_cannot_take_the_framing_away() -> None:
    """A peer who names Content-Length in Connection would have the content read as another message."""
    lines = [(b"Connection", b"Content-Length, x-hop"), (b"Content-Length", b"5"), (b"X-Hop", b"1")]
    assert sent(*lines) == [(b"Content-Length", b"5")]
    assert returned(*lines) == [(b"Content-Length", b"5"), headers.VIA]


@pytest.mark.parametrize(
    "connection",
    [b"authorization", b"x-amz-cognito-security-token", b"host, via", b"close, X-Amz-Cognito-Security-Token"],
)
def test_connection_cannot_strip_what_is_always_sent(connection: bytes) -> None:
    """A caller who names the credential, Host or Via in Connection strips their own, not what the proxy adds."""
    result = headers.to_upstream(
        [(b"Connection", connection), (b"Authorization", b"own"), (b"Accept", b"*/*")],
        authority=AUTHORITY,
        replaces=replaced_by(ADDED),
    )
    assert result == [(b"Host", AUTHORITY.encode()), (b"Accept", b"*/*"), headers.VIA]


CALLERS_OWN = [
    b"Authorization",
    b"AUTHORIZATION",
    b"authorization",
    b"X-Amz-Cognito-Security-Token",
    b"x-amz-cognito-security-token",
    b"X_Amz_Cognito_Security_Token",
    b"x_amz-cognito_security-token",
    b"X-Api-Key",
    b"x_api_key",
    b"X-API_KEY",
]
ADDITIONS = [b"X-Amz-Cognito-Security-Token", b"authorization", b"x-api-key", b"X-Own"]


@pytest.mark.parametrize("name", CALLERS_OWN)
def test_callers_credentials_stop(name: bytes) -> None:
    """Where a credential is added, the caller's own are dropped, in every spelling that some server reads as one."""
    for added in ADDITIONS:
        assert sent((name, b"stale"), (b"Accept", b"*/*"), added=added) == [(b"Accept", b"*/*")], added


@pytest.mark.parametrize("name", [b"X-Own", b"x-own", b"X_Own", b"x_OWN"])
def test_callers_spelling_of_an_own_header_stops(name: bytes) -> None:
    """The header that a route names is the proxy's, too."""
    assert sent((name, b"stale"), added=b"X-Own") == []


@pytest.mark.parametrize("name", CALLERS_OWN)
def test_callers_credentials_pass_where_none_is_added(name: bytes) -> None:
    """On a route without a credential the caller's headers are the caller's business."""
    assert sent((name, b"own"), added=None) == [(name, b"own")]


@pytest.mark.parametrize("name", [b"X-UL-Proxy-Token", b"x-ul-proxy-profile", b"X-Ul-Proxy-Anything"])
@pytest.mark.parametrize("added", [ADDED, None], ids=["with a credential", "without one"])
def test_fields_for_the_proxy_stop(name: bytes, added: bytes | None) -> None:
    """What a caller says to the proxy goes no further."""
    assert sent((name, b"secret"), added=added) == []


@pytest.mark.parametrize("name", [b"X_UL_Proxy_Token", b"x_ul_proxy-token"])
def test_underscore_spellings_of_fields_for_the_proxy_stop(name: bytes) -> None:
    """Nor does a client token in a spelling with underscores."""
    assert sent((name, b"secret"), added=None) == []


@pytest.mark.parametrize("name", [b"Host", b"host", b"HOST"])
def test_host_becomes_the_upstreams(name: bytes) -> None:
    """Host is the upstream's, once, and first."""
    result = headers.to_upstream([(b"Accept", b"a"), (name, b"localhost:8080")], authority="up:1", replaces=frozenset())
    assert result == [(b"Host", b"up:1"), (b"Accept", b"a"), headers.VIA]


def test_order_and_duplicates_are_kept() -> None:
    """Everything else passes in its order, its duplicates and its bytes, in both directions."""
    lines = [
        (b"X-B", b"1"),
        (b"x-a", b"\xff\xfe high bytes"),
        (b"X-B", b"2"),
        (b"Cookie", b"a=b"),
        (b"x-b", b""),
        (b"User-Agent", b"curl/8"),
        (b"Accept-Encoding", b"br"),
        (b"Content-Length", b"5"),
        (b"Expect", b"100-continue"),
        (b"Via", b"1.0 older"),
    ]
    assert sent(*lines) == lines
    assert returned(*lines, (b"Set-Cookie", b"a"), (b"Set-Cookie", b"b")) == [
        *lines,
        (b"Set-Cookie", b"a"),
        (b"Set-Cookie", b"b"),
        headers.VIA,
    ]


def test_via_comes_after_older_ones() -> None:
    """Via lists the hops in their order (RFC 9110 section 7.6.3)."""
    result = headers.to_upstream([(b"Via", b"1.0 older")], authority=AUTHORITY, replaces=frozenset())
    assert [value for name, value in result if name.lower() == b"via"] == [b"1.0 older", headers.VIA[1]]


def test_nothing_is_invented() -> None:
    """Without a caller's headers there are Host and Via, and no User-Agent or Accept of the proxy's."""
    assert sent() == []
    assert returned() == [headers.VIA]


tokens = st.text(st.sampled_from("aAxX-_kKeEyY"), min_size=1, max_size=12).map(str.encode)
names = tokens | st.sampled_from([*CALLERS_OWN, b"Connection", b"X_Authorization", b"Accept"])
values = st.binary(max_size=8) | st.sampled_from(
    [b"authorization", b"close, x-api-key", b"x-amz-cognito-security-token"]
)


@given(st.lists(st.tuples(names, values), max_size=12), st.sampled_from(ADDITIONS))
def test_no_credential_of_the_callers(lines: list[Header], added: bytes) -> None:
    """Whatever a caller sends, nothing of it goes upstream that could be taken for a credential beside the proxy's."""
    own = replaced_by(added)
    assert [line for line in sent(*lines, added=added) if line[0].lower().replace(b"_", b"-") in own] == []


@given(st.lists(st.tuples(names, values), max_size=12), st.sampled_from([*ADDITIONS, None]))
def test_what_passes_is_unchanged(lines: list[Header], added: bytes | None) -> None:
    """What goes upstream is a subsequence of what came, between Host and Via."""
    first, *passed, last = headers.to_upstream(lines, authority=AUTHORITY, replaces=replaced_by(added))
    assert (first, last) == tuple(SENT_ALWAYS)
    remaining = iter(lines)
    assert all(line in remaining for line in passed)


# What goes back, against the rule spelled out line by line.

UPSTREAM_NAMES = [
    *sorted(headers.HOP_BY_HOP),
    b"connection",
    b"connection",
    b"content-length",
    b"content-type",
    b"set-cookie",
    b"via",
    b"x-hop",
    b"x-hop-by-hop",
    b"connections",
    b"te-x",
    b"x-te",
    b"tea",
    b"proxy-status",
    b"trailer",
]
UPSTREAM_VALUES = st.one_of(
    st.text("\t !azAZ09:,;\x80\xff", max_size=12).map(lambda text: text.encode("latin-1")),
    st.sampled_from(
        [
            b"close",
            b"Keep-Alive, TE",
            b"x-hop",
            b"X-Hop ,\tClose",
            b",",
            b"",
            b"content-length, x-hop",
            b"set-cookie",
            b"connection: x-hop",
            b"chunked",
            b"upgrade",
            b"content-type,,keep-alive",
            b'"x-hop"',
            b"x-hop\xff",
        ]
    ),
)


@st.composite
def upstream_sections(draw: st.DrawFn) -> bytes:
    """Well-formed field sections, the names in any case and the values with or without white space around them."""
    section = b""
    for name, value in draw(st.lists(st.tuples(st.sampled_from(UPSTREAM_NAMES), UPSTREAM_VALUES), max_size=8)):
        spelled = draw(st.sampled_from([bytes.lower, bytes.upper, bytes.title, bytes.swapcase]))(name)
        section += spelled + b":" + draw(st.sampled_from([b" ", b"", b"\t ", b"  "])) + value + b"\r\n"
    return section


def passed_line_by_line(section: bytes) -> bytes:
    """RFC 9110 section 7.6.1: no hop-by-hop field, none that Connection names, all others byte for byte; and Via."""
    rows = [(row.split(b":")[0].lower(), row + b"\r\n") for row in section.split(b"\r\n")[:-1]]
    dropped = set(headers.HOP_BY_HOP)
    for name, row in rows:
        if name == b"connection":
            dropped |= {option.strip().lower() for option in row[len("connection:") :].split(b",")}
    dropped.discard(b"content-length")
    return b"".join(row for name, row in rows if name not in dropped) + b"Via: 1.1 ul-proxy\r\n"


@given(upstream_sections())
@example(b"TE: a\r\n")
@example(b"A: b\r\nConnection: keep-alive\r\nC: d\r\n")
@example(b"Connection: keep-alive\r\nC: d\r\n")
@example(b"A: b\r\nconnection: keep-alive\r\nC: d\r\n")
@example(b"A: Connection: keep-alive\r\nConnection: keep-alive\t\r\nC: d\r\n")
@example(b"A: b\r\nConnection: keep-alive\r\nKeep-Alive: x\r\n")
@example(b"A: b\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n")
@example(b"A: b\r\nConnection: keep-alive\r\nConnection: X-Hop\r\nX-Hop: c\r\n")
@example(b"A: b\r\nConnection: close\r\nKeep-Alive: x\r\nUpgrade: y\r\nC: d\r\n")
@example(b"Connection: Content-Length, X-Hop\r\nContent-Length: 5\r\nX-HOP: a\r\nX-Hop-By-Hop: b\r\n")
def test_what_goes_back_is_what_the_rule_says(section: bytes) -> None:
    """However the fields are written, exactly those that may pass do, byte for byte."""
    head, _ = parse_head(b"HTTP/1.1 200 OK\r\n" + section + b"\r\n")
    assert headers.to_caller(head.section, head.proxy_fields) == passed_line_by_line(section)


@given(upstream_sections())
def test_a_switch_goes_back_with_the_fields_that_make_it_one(section: bytes) -> None:
    """A 101 has its own Connection and Upgrade, whatever the upstream wrote."""
    head, _ = parse_head(b"HTTP/1.1 101 Switching Protocols\r\n" + section + b"\r\n")
    switch = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    assert headers.switching(head.section, head.proxy_fields) == passed_line_by_line(section) + switch
