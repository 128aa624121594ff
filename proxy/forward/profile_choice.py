"""Which profile a request chooses: by a header, by the beginning of its path, or not at all."""

import re
from typing import NamedTuple

from proxy.errors import BadRequest, UnknownProfile
from proxy.http.grammar.fields import Headers, values_of
from proxy.identity.profile import DEFAULT_PROFILE

HEADER = b"x-ul-proxy-profile"
PREFIX = "/@"

_PREFIXED = re.compile(r"/@([A-Za-z0-9_-]+)(?=[/?]|\Z)")


class Choice(NamedTuple):
    """A profile, and what is left of the request target."""

    name: str
    prefix: str
    """What the path began with, empty where the profile was not chosen by it."""
    target: str

    def __repr__(self) -> str:
        # The target may hold a secret in its query.
        return f"Choice({self.name!r}, {self.prefix!r})"


def named_in(lines: Headers) -> str | None:
    """Read the profile that the field lines name; raises BadRequest where they name more than one."""
    values = set(values_of(lines, HEADER))
    if len(values) > 1:
        raise BadRequest("the request names more than one profile", hint="Send X-UL-Proxy-Profile once.")
    return values.pop().decode("latin-1") if values else None


def chosen(target: str, named: str | None) -> Choice:
    """Read the choice of a request: by its target, in origin form, or by the profile `named` in its field lines.

    Raises UnknownProfile for what is no profile's name, and BadRequest where the two name different profiles.
    """
    if not target.startswith(PREFIX):
        return Choice(DEFAULT_PROFILE if named is None else named, "", target)
    found = _PREFIXED.match(target)
    if found is None:
        raise UnknownProfile(
            "the path begins with /@ and no profile's name",
            hint="Names are of letters, digits, _ and -; encode an @ of the path's own as %40.",
        )
    name, rest = found[1], target[found.end() :]
    if named is not None and named != name:
        raise BadRequest(
            "the path and the header name different profiles", hint="Choose by X-UL-Proxy-Profile or by /@NAME/."
        )
    return Choice(name, found[0], rest if rest.startswith("/") else "/" + rest)
