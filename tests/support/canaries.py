"""Secrets that can be recognised wherever they come out."""

import asyncio
import base64
import gc
import re
import traceback
from collections.abc import Iterable, Iterator

from proxy.settings import leaves

_MARK = "BLABBERMOUTH"
"""No other test plants this word."""
_LETTERS = re.compile(r"[^A-Z]")


def canary(name: str) -> str:
    """A secret of its own for every name. Of base32's letters alone, so that it passes for a TOTP secret as well."""
    text = _MARK + _LETTERS.sub("", name.upper())
    return text + "A" * (-len(text) % 8)


def secret_settings() -> dict[str, str]:
    """The variable of every setting that holds a secret, and a canary for it."""
    return {leaf.variable: canary(leaf.name) for leaf in leaves() if leaf.secret}


class Birdwatcher:
    """Knows canaries, and further secrets that were not chosen, and finds them in whatever form they come."""

    def __init__(self) -> None:
        self._forms = {_MARK.lower()}

    def learn(self, *secrets: str) -> None:
        """Further secrets, of which any end that is long enough gives them away."""
        self._forms |= {secret[-24:].lower() for secret in secrets}

    def learn_encoded(self, *secrets: str) -> None:
        """Secrets that might come out in base64, as HTTP's Basic scheme has them."""
        for secret in secrets:
            # The beginning and the end depend on what stands beside them.
            self._forms |= {base64.b64encode(secret[n:].encode())[4:-4].decode().lower() for n in range(3)}

    def found_in(self, text: str | bytes) -> str | None:
        """Where a secret shows, with what stands around it; None where there is none."""
        text = (text if isinstance(text, str) else text.decode("latin-1")).lower()
        places = [place for form in self._forms if (place := text.find(form)) >= 0]
        return text[max(0, min(places) - 80) : min(places) + 80] if places else None

    def found_in_objects(self) -> Iterator[str]:
        """The living objects of this program, and the tasks, whose `repr`, `str` or traceback shows a secret."""
        for thing in _living():
            texts = [repr(thing), str(thing)]
            if isinstance(thing, BaseException):
                texts += traceback.format_exception(thing)
            for text in texts:
                if place := self.found_in(text):
                    yield f"{type(thing).__qualname__}: …{place}…"


def _living() -> Iterable[object]:
    gc.collect()
    # Judged by their type: to ask a proxy object for its class can make it do things.
    return [
        thing
        for thing in gc.get_objects()
        if str(type(thing).__module__).startswith("proxy.") or issubclass(type(thing), asyncio.Future)
    ]
