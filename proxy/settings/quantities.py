"""Durations, sizes and counts: read as settings and flags have them, and written for people.

What cannot be read is a ValueError in words for a person.
"""

import math
import re
from typing import Any

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?")
_SIZE = re.compile(r"(\d+)\s*(?:(Ki|Mi|Gi)?B)?")
_SECONDS = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {None: 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}
_LARGE_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
_SHOWN_AS_SECOND = 0.9995
"""From here on a time that is rounded to a tenth of a second is one second."""


def quoted(value: Any) -> str:
    """Write a value as a message quotes it: as in a config file, or, where that would be long, not at all."""
    if isinstance(value, str):
        return repr(value)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else "this"


def duration(value: Any) -> float:
    """Read a number of seconds, or one with a unit, as seconds."""
    seconds = _seconds(value)
    if seconds <= 0:
        raise ValueError(f"{quoted(value)} must be more than 0")
    return seconds


def delay(value: Any) -> float:
    """Read a duration that may be none."""
    seconds = _seconds(value)
    if seconds < 0:
        raise ValueError(f"{quoted(value)} must not be less than 0")
    return seconds


def _seconds(value: Any) -> float:
    seconds: float | None = None
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        seconds = float(match[1]) * _SECONDS[match[2]]
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        seconds = float(value)
    if seconds is None:
        raise ValueError(f"{quoted(value)} is no duration: write a number of seconds, or 500ms, 10s, 5m, 1h")
    return seconds


def size(value: Any) -> int:
    """Read a number of bytes, or one with a unit, as bytes."""
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        return int(match[1]) * _BYTES[match[2]]
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError(f"{quoted(value)} is no size: write a number of bytes, or 64 KiB, 1 MiB, 1 GiB")


def count(value: Any) -> int:
    """Read a whole number from 1 on."""
    number = int(value) if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,9}\s*", value) else value
    if not isinstance(number, int) or isinstance(number, bool):
        raise ValueError(f"{quoted(value)} is no whole number")  # noqa: TRY004  # pydantic wants it
    if number < 1:
        raise ValueError(f"{quoted(value)} must be at least 1")
    return number


def shown_size(number: int) -> str:
    """Write bytes in the largest unit that divides them, in a form that can be written in a setting, too."""
    unit = next((name for name in ("Gi", "Mi", "Ki") if number and number % _BYTES[name] == 0), None)
    return f"{number // _BYTES[unit]} {unit or ''}B"


def shown_duration(seconds: float) -> str:
    """Write seconds in a form that can be written in a setting, too."""
    return f"{seconds:g} s"


def rough_duration(seconds: float | None) -> str:
    """Write seconds as people say them, in the two largest units: `1 h 5 min`; `-` where there is none."""
    if seconds is None:
        return "-"
    if seconds < 0:
        return "ended"
    rest = int(seconds)
    parts: list[tuple[int, str]] = []
    for unit, length in _LARGE_UNITS:
        number, rest = divmod(rest, length)
        if number or parts:
            parts.append((number, unit))
    return " ".join(f"{number} {unit}" for number, unit in parts[:2] if number) or "0 s"


def estimated_duration(seconds: float) -> str:
    """Write seconds that are not known to the second in one unit, rounded: `2 h` for 7199."""
    for unit, length in _LARGE_UNITS[:-1]:
        if seconds >= 2 * length or (unit == "h" and seconds >= length):
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def exact_duration(seconds: float | None) -> str:
    """Write a time that was measured: `12 ms` or `1.5 s`; nothing where there is none."""
    if seconds is None:
        return ""
    return f"{seconds * 1000:.0f} ms" if seconds < _SHOWN_AS_SECOND else f"{seconds:.1f} s"
