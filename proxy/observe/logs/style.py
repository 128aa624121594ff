"""Colours for people, as terminals understand them (ECMA-48 section 8.3.117)."""

from proxy.model import Level

_RESET = "\x1b[0m"
_DIM, _RED, _GREEN, _YELLOW, _CYAN = (f"\x1b[{code}m" for code in (2, 31, 32, 33, 36))
_OF_LEVEL: dict[str, str] = {"WARNING": _YELLOW, "ERROR": _RED, "CRITICAL": _RED, "DEBUG": _DIM}
_OF_CLASS = {1: _CYAN, 2: _GREEN, 3: _CYAN, 4: _YELLOW, 5: _RED}


def dim(text: str) -> str:
    """What is there to be found, not to be read."""
    return f"{_DIM}{text}{_RESET}" if text else ""


def level(name: str) -> str:
    """The name of a level of `logging`."""
    return f"{_OF_LEVEL[name]}{name}{_RESET}" if name in _OF_LEVEL else name


def status(code: int, of: Level) -> str:
    """A status code, in the colour of its class; in that of its level where the proxy is to blame."""
    colour = _RED if of == "error" else _OF_CLASS.get(code // 100, _RED)
    return f"{colour}{code}{_RESET}"
