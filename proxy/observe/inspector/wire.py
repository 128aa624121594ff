"""What went over the wire for one request, in bytes: not to be shown before it went through masks."""

from dataclasses import dataclass, field

from proxy.http.grammar import Head
from proxy.http.grammar.fields import Headers


@dataclass(frozen=True, slots=True, repr=False)
class RecordedRequest:
    """The head of a request, as its caller sent it."""

    method: str
    target: str
    fields: Headers
    has_content: bool = False


@dataclass(slots=True, repr=False)
class Wire:
    """A request, its answer, and what became of both on the way through the proxy."""

    request: RecordedRequest
    origin: str = ""
    """Of the upstream that was asked."""
    sent: bytes = b""
    """The head that it was sent; empty where none was asked."""
    refusals: list[int] = field(default_factory=list)
    """The statuses of answers that refused the token, after which the request was sent again."""
    answer: Head | None = None
    """The head of the upstream's answer."""
    passed_on: bytes = b""
    """The head that the caller was sent; empty where it left before."""
    request_content: bytearray = field(default_factory=bytearray)
    answer_content: bytearray = field(default_factory=bytearray)
    """The beginnings."""

    @property
    def size(self) -> int:
        """Bytes that are held, but for those of contents."""
        answer = 0 if self.answer is None else len(self.answer.section)
        lines = sum(len(name) + len(value) for name, value in self.request.fields)
        return len(self.request.target) + lines + len(self.sent) + answer + len(self.passed_on)
