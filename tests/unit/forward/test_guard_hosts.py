"""Which Host headers are let in: the defence against DNS rebinding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import BadRequest, HostNotAllowed
from proxy.forward import guard
from proxy.forward.policy import Policy
from proxy.http.address import Bind, is_loopback, stays_here

ALLOWED = frozenset({"proxy.internal", "10.1.2.3", "fd00::1"})

LET_IN = [
    "localhost",
    "LOCALHOST",
    "LocalHost",
    "localhost.",
    "LOCALHOST.",
    "localhost:8080",
    "localhost.:8080",
    "LocalHost.:1",
    "localhost:65535",
    "127.0.0.1",
    "127.0.0.1:8080",
    "127.0.0.1.",
    "127.0.0.2",
    "127.1.2.3:80",
    "127.255.255.255",
    "[::1]",
    "[::1]:8080",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]:8080",
    "proxy.internal",
    "Proxy.INTERNAL.:8080",
    "10.1.2.3:8080",
    "[fd00::1]:8080",
    "[FD00:0::1]",
    "[::ffff:127.0.0.1]",
    "[::FFFF:127.0.0.1]:8080",
    "[::ffff:7f00:1]",
    "[::ffff:127.9.9.9]",
    "[::ffff:10.1.2.3]",
]

LOOK_ALIKES = [
    "localhost.evil.com",
    "evil.com",
    "evil-localhost",
    "localhost-evil.com",
    "xlocalhost",
    "localhost..",
    ".localhost",
    "127.0.0.1.evil.com",
    "127.0.0.1.nip.io",
    "127a0b0c1",
    "127.1",
    "127",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "127.0.0.01",
    "127.0.0.256",
    "127.0.0.1.1",
    "0.0.0.0",  # noqa: S104
    "0",
    "126.255.255.255",
    "128.0.0.1",
    "169.254.169.254",
    "192.168.0.1",
    "10.1.2.30",
    "sub.proxy.internal",
    "proxy.internal.evil.com",
    "[::]",
    "[::2]",
    "[fe80::1]",
    "[fd00::1:1]",
    "[::1%25lo]",
    "[::1%lo]",
    "[::ffff:10.1.2.30]",
    "[::ffff:0.0.0.0]",
    "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
]

MALFORMED = [
    "",
    " ",
    ".",
    ":8080",
    "localhost ",
    " localhost",
    "local host",
    "localhost\t",
    "localhost\n",
    "localhost\r\nX: y",
    "localhost\x00",
    "localhost:port",
    "localhost:-1",
    "localhost:123456",
    "localhost:65536",
    "localhost:99999",
    "127.0.0.1:65536",
    "[::1]:65536",
    "localhost:",
    "localhost:+80",
    "localhost:0x50",
    "localhost:\u0661",
    "localhost:80:80",
    "localhost:80 ",
    "localhost/",
    "localhost/path",
    "localhost?x",
    "localhost#x",
    "localhost\\",
    "localhost,evil.com",
    "localhost;evil.com",
    "user@localhost",
    "localhost@evil.com",
    "user:password@localhost:8080",
    "http://localhost",
    "%6cocalhost",
    "localhost%00.evil.com",
    "::1",
    "::1:8080",
    "[::1",
    "::1]",
    "[::1]]",
    "[[::1]]",
    "[::1]8080",
    "[::1].",
    "[::1]evil.com",
    "[localhost]",
    "[127.0.0.1]",
    "[]",
    "[:]",
    "[1.2.3.4::]",
    "\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54",
    "localho\xdft",
    "localhost:\xb2",
]


def check(*hosts: str, allowed: frozenset[str] = ALLOWED) -> None:
    guard.check_host([host.encode("utf-8") for host in hosts], Policy(allowed_hosts=allowed))


@pytest.mark.parametrize("host", LET_IN, ids=ascii)
def test_lets_in(host: str) -> None:
    """Loopback's names and numbers and the allowed hosts come in, in any case, with a trailing dot, with a port."""
    check(host)


@pytest.mark.parametrize("host", LOOK_ALIKES, ids=ascii)
def test_refuses_look_alikes(host: str) -> None:
    """A name that somebody's DNS could point at loopback stays out, however much it looks like it."""
    with pytest.raises(HostNotAllowed):
        check(host)


@pytest.mark.parametrize("host", MALFORMED, ids=ascii)
def test_refuses_malformed(host: str) -> None:
    """What is no `host[:port]` at all stays out."""
    with pytest.raises(HostNotAllowed):
        check(host)


@pytest.mark.parametrize(
    "hosts",
    [(), ("localhost", "localhost"), ("localhost", "evil.com"), ("evil.com", "localhost")],
    ids=["missing", "twice the same", "good then bad", "bad then good"],
)
def test_needs_exactly_one_host(hosts: tuple[str, ...]) -> None:
    """A request with no Host, or with two that could be read differently, is bad."""
    with pytest.raises(BadRequest):
        check(*hosts)


def test_nothing_is_allowed_beyond_loopback_by_default() -> None:
    """Without allowed_hosts only loopback comes in."""
    check("localhost", allowed=frozenset())
    with pytest.raises(HostNotAllowed):
        check("proxy.internal", allowed=frozenset())


def test_any_host() -> None:
    """Where any name will do, all do; but still there is one."""
    policy = Policy(any_host=True)
    for host in map(str.encode, (*LET_IN, *LOOK_ALIKES, *MALFORMED)):
        guard.check_host([host], policy)
    for hosts in ([], [b"localhost", b"localhost"]):
        with pytest.raises(BadRequest):
            guard.check_host(hosts, policy)


@pytest.mark.parametrize(
    ("bind", "here"),
    [
        (Bind("127.0.0.1", 1), True),
        (Bind("127.9.9.9", 1), True),
        (Bind("::1", 1), True),
        (Bind("LocalHost", 1), True),
        (Bind(path="/s"), True),
        (Bind("0.0.0.0", 1), False),  # noqa: S104
        (Bind("::", 1), False),
        (Bind("10.0.0.1", 1), False),
        (Bind("proxy.test", 1), False),
    ],
    ids=str,
)
def test_stays_here(bind: Bind, here: bool) -> None:
    """Loopback and Unix sockets are for this machine; a name that is none of loopback's may be for anybody."""
    assert stays_here(bind) is here


def test_verdicts_are_not_mixed_up() -> None:
    """A verdict remembered under one set of allowed hosts does not hold under another."""
    check("proxy.internal")
    with pytest.raises(HostNotAllowed):
        check("proxy.internal", allowed=frozenset({"other"}))
    check("proxy.internal")


def test_refusal_does_not_echo_the_host() -> None:
    """A refusal repeats nothing that a page could have put into it."""
    with pytest.raises(HostNotAllowed) as caught:
        check("<script>.evil.com")
    assert "script" not in caught.value.detail


@given(st.ip_addresses(v=4, network="127.0.0.0/8"), st.none() | st.integers(0, 65535))
def test_all_of_127_is_loopback(address: object, port: int | None) -> None:
    """Every address of 127/8 is loopback, with and without a port."""
    check(f"{address}" if port is None else f"{address}:{port}", allowed=frozenset())


@given(st.ip_addresses().filter(lambda address: not address.is_loopback and not getattr(address, "ipv4_mapped", None)))
def test_nothing_else_is_loopback(address: object) -> None:
    """No other address is."""
    host = f"[{address}]" if ":" in str(address) else f"{address}"
    with pytest.raises(HostNotAllowed):
        check(host, allowed=frozenset())


@given(st.binary(max_size=30))
def test_any_bytes_get_a_verdict(host: bytes) -> None:
    """Whatever bytes stand in Host, the verdict is one of two."""
    try:
        guard.check_host([host], Policy())
    except HostNotAllowed:
        return
    name = guard.host_name(host.decode("latin-1"))
    assert name is not None
    assert is_loopback(name)


@pytest.mark.parametrize(
    ("authority", "name"),
    [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("example.com:443", "example.com"),
        ("a_b.example", "a_b.example"),
        ("[2001:DB8::1]:443", "2001:db8::1"),
        ("[2001:db8:0:0:0:0:0:1]", "2001:db8::1"),
        ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
        ("[::ffff:c000:201]", "192.0.2.1"),
        ("example.com:65535", "example.com"),
        ("example.com:65536", None),
        (".", None),
        ("a b", None),
        ("[g::1]", None),
    ],
)
def test_host_name(authority: str, name: str | None) -> None:
    """A host is compared in lower case, without port, brackets or trailing dot; an address in its shortest form."""
    assert guard.host_name(authority) == name


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        ("localhost", "localhost"),
        ("LocalHost.:8080", "localhost:8080"),
        ("[::1]:8080", "[0:0:0:0:0:0:0:1]:8080"),
        ("127.0.0.1:08080", "127.0.0.1:8080"),
    ],
)
def test_absolute_target_agrees(authority: str, host: str) -> None:
    """An absolute target may name the host that Host names, however either is written."""
    guard.check_authority(authority, host.encode())


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        ("evil.com", "localhost"),
        ("localhost", "evil.com"),
        ("127.0.0.1", "localhost"),
        ("localhost:8080", "localhost"),
        ("localhost", "localhost:80"),
        ("localhost:8080", "localhost:8081"),
        ("user@localhost", "localhost"),
        ("localhost@evil.com", "localhost"),
        ("", ""),
        ("", "localhost"),
        ("local host", "local host"),
        ("localhost:99999", "localhost:99999"),
    ],
)
def test_absolute_target_disagrees(authority: str, host: str) -> None:
    """A target that names another host than Host, or none that can be read, is bad: somebody might believe it."""
    with pytest.raises(BadRequest):
        guard.check_authority(authority, host.encode())
