"""What there is to say of a hop."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What a hop is about, in the order in which a person reads them; scripts hold on to these names."""

    SETTINGS = "settings"
    LISTEN = "listen"
    DNS = "dns"
    OUTBOUND_PROXY = "outbound_proxy"
    CONNECT = "connect"
    TUNNEL = "tunnel"
    TLS = "tls"
    USER_POOL = "user_pool"
    CLOCK = "clock"
    SIGN_IN = "sign_in"
    ROUTE = "route"


_LABELS = {
    Kind.DNS: "DNS",
    Kind.OUTBOUND_PROXY: "outbound proxy",
    Kind.TUNNEL: "tunnel to",
    Kind.TLS: "TLS",
    Kind.USER_POOL: "user pool",
    Kind.SIGN_IN: "sign-in",
    Kind.ROUTE: "",
}


class Step(NamedTuple):
    """Which hop it is."""

    kind: Kind
    subject: str = ""

    @property
    def title(self) -> str:
        return f"{_LABELS.get(self.kind, self.kind)} {self.subject}".strip()


class HopState(StrEnum):
    OK = "ok"
    WARN = "warn"
    """It works, and a person should know something."""
    FAIL = "fail"
    NOT_TRIED = "not_tried"


@dataclass(frozen=True, slots=True)
class Finding:
    """`detail` is what was found, `fix` what mends it. Neither holds a secret."""

    state: HopState
    detail: str
    fix: str = ""
    notes: tuple[str, ...] = ()
    """More sentences, one a line."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one hop."""

    step: Step
    finding: Finding
    seconds: float | None = None
    """How long it took; None where it was not tried."""
    because: Step | None = None
    """The hop whose failure is why this one was not tried."""

    @property
    def title(self) -> str:
        return self.step.title

    @property
    def passed(self) -> bool:
        """Whether hops that need this one can be tried."""
        return self.finding.state in (HopState.OK, HopState.WARN)


def ok(detail: str) -> Finding:
    return Finding(HopState.OK, detail)


def warn(detail: str, fix: str = "") -> Finding:
    return Finding(HopState.WARN, detail, fix)


def fail(detail: str, fix: str) -> Finding:
    return Finding(HopState.FAIL, detail, fix)


def not_tried(reason: str) -> Finding:
    """`reason` follows the word "because"."""
    return Finding(HopState.NOT_TRIED, f"not tried, because {reason}")
