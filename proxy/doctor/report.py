"""What a person, or a script, is told."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from proxy import __version__
from proxy.doctor.findings import HopState, Result
from proxy.observe.logs import printable
from proxy.settings.quantities import exact_duration

_MARKS = {HopState.OK: "ok", HopState.WARN: "warn", HopState.FAIL: "FAIL", HopState.NOT_TRIED: "-"}
_COLOURS = {HopState.OK: "32", HopState.WARN: "33", HopState.FAIL: "1;31", HopState.NOT_TRIED: "2"}
_MARK, _TIME = 4, 6
_WIDEST = 64
"""Columns that titles may take before a long one breaks the row."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """Lines for people; `titles` are those of all hops, so that the rows are as wide from the first one on."""

    titles: Sequence[str]
    colours: bool = False
    columns: int | None = None
    """How wide the screen is; None where there is none."""
    _width: int = field(init=False)

    def __post_init__(self) -> None:
        widths = [len(printable(title)) for title in self.titles]
        object.__setattr__(self, "_width", max([width for width in widths if width <= _WIDEST], default=0))

    def lines(self, result: Result) -> list[str]:
        """A row, and below it the fix where one is known."""
        finding = result.finding
        mark = self._coloured(f"{_MARKS[finding.state]:<{_MARK}}", _COLOURS[finding.state])
        row = f"{mark}  {printable(result.title):<{self._width}}  {exact_duration(result.seconds):>{_TIME}}  "
        return [
            (row + printable(finding.detail)).rstrip(),
            *(line for note in finding.notes for line in self._wrapped(note)),
            *(self._wrapped(f"fix: {finding.fix}") if finding.fix else []),
        ]

    def _wrapped(self, text: str) -> list[str]:
        """A sentence below a row, on several lines where the screen ends before it does."""
        indent = " " * (_MARK + 2)
        if self.columns is None:
            return [indent + printable(text)]
        return textwrap.wrap(
            printable(text),
            self.columns,
            initial_indent=indent,
            subsequent_indent=indent + "     ",
            break_long_words=False,
            break_on_hyphens=False,
        )

    def _coloured(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colours else text


def summary(results: Sequence[Result], seconds: float) -> str:
    """The last line."""
    failed = [result.title for result in results if result.finding.state is HopState.FAIL]
    untried = sum(result.finding.state is HopState.NOT_TRIED for result in results)
    left = f", {untried} not tried" if untried else ""
    if not failed:
        return f"All is well: {len(results) - untried} hops in {exact_duration(seconds)}{left}."
    return f"{len(failed)} of {len(results)} hops failed{left}: {printable(', '.join(failed))}."


def document(results: Sequence[Result], *, profile: str, seconds: float, status: int) -> dict[str, Any]:
    """The same for a script."""
    return {
        "version": __version__,
        "profile": profile,
        "ok": status == 0,
        "status": status,
        "seconds": round(seconds, 3),
        "hops": [
            {
                "kind": str(result.step.kind),
                "subject": result.step.subject,
                "state": str(result.finding.state),
                "seconds": None if result.seconds is None else round(result.seconds, 3),
                "detail": result.finding.detail,
                "fix": result.finding.fix or None,
                "because": result.because and result.because.title,
                "notes": list(result.finding.notes),
            }
            for result in results
        ],
    }
