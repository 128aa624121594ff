"""What web pages may do. A browser says where a request comes from: `Origin` (RFC 6454), `Sec-Fetch-Site` (W3C Fetch
Metadata), and asks first where a page wants more than a form could do (preflights, the Fetch standard).

A page can leave neither of them out nor forge one, but not every request of a browser carries them:

=========================================  ===============  =====================================
a page elsewhere sends                     Origin           Sec-Fetch-Site
=========================================  ===============  =====================================
fetch with CORS, a form's POST, WebSocket  its own, or null cross-site or same-site
image, script, `no-cors` fetch, link, GET  none             cross-site or same-site
=========================================  ===============  =====================================

Browsers that know no Fetch Metadata, or do not send it over plain HTTP to a name that is not loopback, show the second
row as nothing at all, just as curl does. Such a request is let in: it can be no more than a GET, and no page can read
the response.
"""

import re
from collections.abc import Sequence

from proxy.errors import BadRequest, OriginNotAllowed
from proxy.forward.guard.hosts import check_host, host_name
from proxy.forward.policy import Policy
from proxy.http.grammar.fields import Header, values_of

PREFLIGHT_MAX_AGE = 600
"""Seconds for which a browser need not ask again."""

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ORIGIN = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<authority>[^/?#@]+)")
_OWN_PORTS = {"http": ":80", "https": ":443"}
_VARY = (b"Vary", b"Origin")
_SHOWN = frozenset((b"document", b"embed", b"fencedframe", b"frame", b"iframe", b"object"))
_PAGE = b"application/xhtml+xml"
_CONFINED = ((b"Content-Security-Policy", b"script-src 'none'; connect-src 'none'; form-action 'none'"),)


def check_origin(headers: Sequence[Header], policy: Policy, host: bytes, *, secure: bool = False) -> bytes | None:
    """Let a request through that no web page sent, or a page that may; raises OriginNotAllowed.

    `host` is what Host says, `secure` whether the request came by HTTPS. Returns the origin, one of `allowed_origins`,
    that is to learn that it may read the response; None where there is no such page: a tool, a person who typed the
    address, or the proxy's own page.
    """
    origins, sites = values_of(headers, b"origin"), values_of(headers, b"sec-fetch-site")
    if not origins and not sites:
        return None
    if len(origins) > 1 or len(sites) > 1:
        raise OriginNotAllowed("the request names more than one origin")
    site = sites[0].lower() if sites else b""
    if origins:
        return _check_named(origins[0], site, policy, host, secure=secure)
    if site == b"same-origin" or (site == b"none" and values_of(headers, b"sec-fetch-mode") == [b"navigate"]):
        return None
    raise OriginNotAllowed(
        "a browser sends this request for a page that was not served here, and does not say for which",
        hint="Open the address from the address bar; a page needs its origin in allowed_origins and a CORS request.",
    )


def _check_named(origin: bytes, site: bytes, policy: Policy, host: bytes, *, secure: bool) -> bytes | None:
    """Check the origin of a request that names it, as `check_origin` does."""
    if origin.decode("latin-1") in policy.allowed_origins:
        return origin
    here = host.lower()
    if site in (b"", b"same-origin") and origin == (b"https://" if secure else b"http://") + here:
        return None
    # With TLS in front of a proxy that speaks plain HTTP only the browser knows that this is one and the same.
    if site == b"same-origin" and origin == b"https://" + here:
        return None
    raise OriginNotAllowed("the web page that sends this request has an origin that is not in allowed_origins")


def preflight(headers: Sequence[Header], policy: Policy, *, secure: bool = False) -> tuple[Header, ...] | None:
    """Make the field lines of the 204 that answers a preflight; None where the OPTIONS request is none.

    A browser asks without credentials, so that no client token is wanted. Raises BadRequest, HostNotAllowed, or
    OriginNotAllowed where the page may not send what it asks for.
    """
    methods = values_of(headers, b"access-control-request-method")
    if not methods or not values_of(headers, b"origin"):
        return None
    hosts = values_of(headers, b"host")
    check_host(hosts, policy)
    origin = check_origin(headers, policy, hosts[0], secure=secure)
    if origin is None:
        # Nobody asks for leave to call the own origin.
        raise OriginNotAllowed("a preflight comes from the proxy's own origin")
    listed = b",".join(values_of(headers, b"access-control-request-headers"))
    names = [name.strip() for name in listed.split(b",") if name.strip()]
    if len(methods) > 1 or not all(_TOKEN.fullmatch(token) for token in (*methods, *names)):
        raise BadRequest("a preflight asks for what is no method or no header", hint="Send tokens (RFC 9110).")
    lines = [
        (b"Access-Control-Allow-Origin", origin),
        (b"Access-Control-Allow-Methods", methods[0]),
        (b"Access-Control-Max-Age", b"%d" % PREFLIGHT_MAX_AGE),
        _VARY,
    ]
    if names:
        # Named one by one: `*` would not cover Authorization.
        lines.insert(2, (b"Access-Control-Allow-Headers", b", ".join(names)))
    if values_of(headers, b"access-control-request-private-network") == [b"true"]:
        lines.append((b"Access-Control-Allow-Private-Network", b"true"))
    return tuple(lines)


def response_fields(origin: bytes | None, policy: Policy) -> tuple[Header, ...]:
    """Make what every response carries besides its own field lines; `origin` is what `check_origin` returned.

    No `Access-Control-Allow-Credentials`: a page that is let in needs no cookie, and whatever a browser adds by itself
    must not be what lets a page in. Without it `*` exposes all of the response's fields (the Fetch standard).
    """
    if not policy.allowed_origins:
        return ()
    if origin is None:
        # A cache must not hand this response, which no page may read, to a page that may.
        return (_VARY,)
    return ((b"Access-Control-Allow-Origin", origin), (b"Access-Control-Expose-Headers", b"*"), _VARY)


def confinement(headers: Sequence[Header]) -> tuple[Header, ...]:
    """Make what an upstream's response carries besides, so that no file of theirs acts as the proxy's own page.

    A browser that shows one takes it for a page of this origin, which may do everything here: a drawing with a script
    in it, that somebody put into the media library, would act with the login of the proxy. It says so in
    Sec-Fetch-Dest or, where it sends none (over plain HTTP, to a name that is not loopback), by accepting XHTML, which
    no tool does.
    """
    shown = set(values_of(headers, b"sec-fetch-dest"))
    if not shown:
        return _CONFINED if any(_PAGE in value for value in values_of(headers, b"accept")) else ()
    return _CONFINED if shown & _SHOWN else ()


def is_cors_field(name: bytes) -> bool:
    """Tell whether an upstream's field, its name in lower case, says to browsers what pages may do here.

    Which pages may is for this proxy to say: an upstream's `*` was meant for callers without a credential.
    """
    return name.startswith(b"access-control-")


def parse_origin(text: str) -> str:
    """Write an origin as browsers do: in lower case, without its scheme's own port. ValueErrors are for a person."""
    if text == "*":
        raise ValueError("'*' would let every web page use your login: name each origin")
    origin = text.strip().lower()
    match = _ORIGIN.fullmatch(origin)
    if match is None or host_name(match["authority"]) is None:
        raise ValueError(f"{text!r} is no origin: write scheme://host[:port], as in https://app.example.com")
    return origin.removesuffix(_OWN_PORTS.get(match["scheme"], "/"))
