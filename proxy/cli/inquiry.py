"""Asking a running proxy about itself, over TCP, TLS or a Unix socket, with nothing in between."""

import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import SecretStr

from proxy.cli.places import ProxyAddress
from proxy.errors import ClientTokenRequired, NotRunning, SettingsError, StartError
from proxy.observe.logs import printable

PATIENCE = 10.0
"""Seconds for an answer to arrive."""
_LONGEST = 1 << 24
_MARKS = {"/-/ready": "ready", "/-/status": "version", "/-/stop": "stopping"}
"""By which member a good answer is known to be a proxy's; all others say so in Proxy-Status."""
_GIVE_TOKEN = "Set UL_PROXY_CLIENT_TOKEN to the value that the proxy has."
_END = "-----END CERTIFICATE-----"
_LOOK = 0.1
"""Seconds between two looks at whether anybody still listens."""


class InquiryReply(NamedTuple):
    """What a proxy answers: a status (RFC 9110 section 15) and a JSON object."""

    status: int
    document: Mapping[str, Any]

    @property
    def good(self) -> bool:
        return self.status // 100 == 2  # noqa: PLR2004


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Where to ask, and what to present there."""

    place: ProxyAddress
    token: SecretStr | None = None
    profile: str | None = None
    """The one that is asked about, if not the one of requests that name none."""

    def ask(self, path: str, *, patience: float = PATIENCE) -> InquiryReply:
        """What a GET of `path` brings; raises NotRunning, one sentence on why it brings nothing."""
        with InquiryConnection(self, patience) as conversation:
            return conversation.say("GET", path)

    def status(self) -> Mapping[str, Any]:
        """What the proxy says of itself; raises StartError where it does not."""
        reply = self.ask("/-/status")
        if not reply.good:
            raise self.refusal(reply)
        return reply.document

    def refusal(self, reply: InquiryReply) -> StartError:
        """An answer that is no success, as an error."""
        document = reply.document
        # The proxy's own hint is for those who write requests.
        token_wanted = document.get("code") == ClientTokenRequired.code
        hint = _GIVE_TOKEN if token_wanted else printable(str(document.get("hint", "")))
        return StartError(f"the proxy at {self.place} refuses: {printable(str(document.get('detail')))}", hint=hint)


class InquiryConnection:
    """One connection to a proxy, as a context."""

    def __init__(self, inquiry: Inquiry, patience: float = PATIENCE) -> None:
        """`patience` is how many seconds an answer may take, however it trickles in."""
        self._inquiry = inquiry
        self._patience = patience
        self._late = False
        self._connection = _connection(inquiry.place, patience)

    def __enter__(self) -> "InquiryConnection":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def say(self, method: str, path: str) -> InquiryReply:
        """The answer to a request; raises NotRunning where there is none, or none of a proxy's."""
        place, token, profile = self._inquiry.place, self._inquiry.token, self._inquiry.profile
        headers = {"Host": place.named}
        if token is not None:
            headers["X-UL-Proxy-Token"] = token.get_secret_value()
        if profile is not None:
            headers["X-UL-Proxy-Profile"] = profile
        try:
            if self._connection.sock is None:
                self._connection.connect()
            with self._in_time(self._connection.sock):
                self._connection.request(method, path, headers=headers)
                answer = self._connection.getresponse()
                status, body = answer.status, answer.read(_LONGEST)
        except (OSError, http.client.HTTPException) as error:
            raise _unanswered(place, TimeoutError() if self._late else error) from None
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = None
        signed = answer.headers.get("Proxy-Status", "").startswith("ul-proxy")
        if not isinstance(document, dict) or not (signed or _MARKS[path] in document):
            raise NotRunning(f"what answers at {place} is no ul-proxy", hint="Check listen, or give --url.")
        return InquiryReply(status, document)

    @contextmanager
    def _in_time(self, sock: socket.socket) -> Iterator[None]:
        """Raises TimeoutError where what is done inside takes too long. A socket's own timeout begins anew at every
        byte.
        """

        def give_up() -> None:
            self._late = True
            with suppress(OSError):  # it has ended by itself
                # Past TLS, which somebody else is amid of reading.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

        timer = threading.Timer(self._patience, give_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
        if self._late:
            # What has come may be half of it.
            raise TimeoutError

    def ended(self, patience: float) -> bool:
        """Whether the proxy, which has been told to stop, ends within `patience` seconds."""
        sock = self._connection.sock
        if sock is None:
            return _deserted(self._inquiry.place, patience)
        sock.settimeout(max(patience, 0.001))
        try:
            # It leaves this connection open until it has let every request come to its end.
            return not sock.recv(1)
        except TimeoutError:
            return False
        except OSError:
            return True


def _deserted(place: ProxyAddress, patience: float) -> bool:
    """Whether nobody listens any more within `patience` seconds."""
    end = time.monotonic() + patience
    while (left := end - time.monotonic()) > 0:
        connection = _connection(place, left)
        try:
            connection.connect()
        except OSError as error:
            if isinstance(error, (FileNotFoundError, ConnectionRefusedError)):
                return True
        finally:
            connection.close()
        time.sleep(min(_LOOK, left))
    return False


def _unanswered(place: ProxyAddress, error: Exception) -> NotRunning:
    if isinstance(error, (FileNotFoundError, ConnectionRefusedError)):
        return NotRunning(f"no proxy runs at {place}")
    hint = "Check listen, or give --url."
    if isinstance(error, ssl.SSLCertVerificationError):
        reason, hint = "its certificate is not trusted here", "Tell which one it has: --tls-cert FILE."
    elif isinstance(error, ssl.SSLError):
        reason, hint = "it speaks no HTTPS", "Check tls_cert, or give --url http://HOST:PORT."
    elif isinstance(error, TimeoutError):
        reason = "it does not answer"
    elif isinstance(error, http.client.RemoteDisconnected):
        reason, hint = "it closed the connection", f"If it speaks HTTPS, tell its certificate: --tls-cert FILE. {hint}"
    else:
        reason = getattr(error, "strerror", None) or type(error).__name__
    return NotRunning(f"the proxy at {place} cannot be asked: {reason}", hint=hint)


def _connection(place: ProxyAddress, patience: float) -> http.client.HTTPConnection:
    if place.path is not None:
        return _UnixConnection(place.path, patience)
    if not place.tls:
        return http.client.HTTPConnection(place.host, place.port, timeout=patience)
    context = ssl.create_default_context() if place.certificate is None else _trusting(place.certificate)
    return http.client.HTTPSConnection(place.host, place.port, timeout=patience, context=context)


def _trusting(file: Path) -> ssl.SSLContext:
    """Trusts the first certificate of `file` and no other, whatever name is in it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        first, end, _ = file.read_text("ascii").partition(_END)
        context.load_verify_locations(cadata=first + end)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it holds no certificate in PEM"
        raise SettingsError(f"tls_cert: {file} cannot be used: {reason}", hint="Check the path.") from None
    return context


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, patience: float) -> None:
        super().__init__("localhost", timeout=patience)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
