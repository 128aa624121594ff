"""How long `ul-proxy wait` asks, how often, and what it makes of the answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from proxy.cli import wait
from proxy.cli.inquiry import Inquiry, InquiryReply
from proxy.cli.places import ProxyAddress
from proxy.cli.wait import INTERVAL, Reason, until_ready
from proxy.errors import NotRunning, StartError

NOT_YET = Reason("sign_in_failed", "not yet")
WRONG = Reason("login_required", "wrong")


@dataclass
class Watched:
    """A proxy that gives `reasons` one after the other, the last of them for ever, on a clock of its own."""

    reasons: list[Reason | None]
    takes: float = 0.0
    """Seconds for an answer."""
    time: float = 100.0
    granted: list[float] = field(default_factory=list)
    paused: list[float] = field(default_factory=list)
    heard: list[Reason] = field(default_factory=list)

    def look(self, patience: float) -> Reason | None:
        self.granted.append(patience)
        self.time += min(self.takes, patience)
        return self.reasons.pop(0) if self.reasons[1:] else self.reasons[0]

    def pause(self, seconds: float) -> None:
        self.paused.append(seconds)
        self.time += seconds

    def wait(self, limit: float) -> Reason | None:
        return until_ready(self.look, limit, now=lambda: self.time, pause=self.pause, tell=self.heard.append)


def test_ready_at_once() -> None:
    """Nobody waits who need not."""
    proxy = Watched([None])
    assert proxy.wait(30) is None
    assert (len(proxy.granted), proxy.paused, proxy.heard) == (1, [], [])


def test_ready_later() -> None:
    """It is asked again and again, at intervals that nobody notices, and ends with the first good answer."""
    proxy = Watched([NOT_YET, NOT_YET, WRONG, None])
    assert proxy.wait(30) is None
    assert proxy.paused == [INTERVAL] * 3
    assert INTERVAL <= 0.05
    assert proxy.heard == [NOT_YET, NOT_YET, WRONG]


@pytest.mark.parametrize("reasons", [[NOT_YET], [NOT_YET, WRONG]], ids=["one reason", "another in the end"])
def test_never_ready(reasons: list[Reason | None]) -> None:
    """At the limit, to the moment, the last reason is given: one that a person must mend is waited out as well."""
    proxy = Watched(list(reasons))
    assert proxy.wait(30) == reasons[-1]
    assert proxy.time == pytest.approx(130)
    assert sum(proxy.paused) == pytest.approx(30)


def test_ready_at_the_last_moment() -> None:
    """After the last pause it is asked once more."""
    proxy = Watched([NOT_YET, NOT_YET, None])
    assert proxy.wait(1.5 * INTERVAL) is None


def test_a_proxy_that_is_silent() -> None:
    """A proxy that takes connections and answers nothing holds up nobody beyond the limit, by more than a moment."""
    proxy = Watched([NOT_YET], takes=1000)
    assert proxy.wait(12) == NOT_YET
    assert proxy.granted == [pytest.approx(10), pytest.approx(2 - INTERVAL)]
    assert proxy.time <= 112.2


@pytest.mark.parametrize(
    ("status", "document", "reason"),
    [
        (200, {"ready": True}, None),
        (
            503,
            {"code": "login_required", "detail": "Cognito refused", "hint": "Mend it."},
            Reason("login_required", "Cognito refused", "Mend it."),
        ),
        (
            503,
            {"code": "defective", "detail": "requests met a defect", "hint": "Restart it."},
            Reason("defective", "requests met a defect", "Restart it."),
        ),
        (
            503,
            {"code": "draining", "detail": "the proxy is draining", "hint": "It is ending."},
            Reason("draining", "the proxy is draining", "Wait longer with --max, or see `ul-proxy status`."),
        ),
        (503, {"code": "x\x1b[2J", "detail": 5}, Reason(r"x\x1b[2J", "5", wait.WAIT_LONGER)),
    ],
    ids=["ready", "a person must act", "a defect", "it may come by itself", "nonsense"],
)
def test_reasons(
    status: int, document: Mapping[str, Any], reason: Reason | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reason is the proxy's own; how to mend it is said where a person can."""
    monkeypatch.setattr(Inquiry, "ask", lambda *_, **__: InquiryReply(status, document))
    assert wait.look(lambda: Inquiry(ProxyAddress()), 1.0) == reason


def test_a_proxy_that_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """That nobody answers is a reason like others: somebody may be starting it."""

    def nobody(*_: object, **__: object) -> InquiryReply:
        raise NotRunning("nobody there", hint="Start it.")

    monkeypatch.setattr(Inquiry, "ask", nobody)
    assert wait.look(lambda: Inquiry(ProxyAddress()), 1.0) == Reason("not_running", "nobody there", "Start it.")


def test_a_port_that_nobody_has_written_down() -> None:
    """Nor does it matter that nobody knows yet where the proxy will be."""

    def nowhere() -> Inquiry:
        raise NotRunning("no port yet", hint="Start it.")

    assert wait.look(nowhere, 1.0) == Reason("not_running", "no port yet", "Start it.")


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_proxy_that_refuses(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that will not tell this caller will not do so later."""
    monkeypatch.setattr(Inquiry, "ask", lambda *_, **__: InquiryReply(status, {"detail": "no", "hint": "Do this."}))
    with pytest.raises(StartError, match="refuses: no") as caught:
        wait.look(lambda: Inquiry(ProxyAddress(port=8)), 1.0)
    assert caught.value.hint == "Do this."
