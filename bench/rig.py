"""What all measurements share: the origins, the Cognito, and proxies that run."""

import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import delay, measure, origin, sink
from bench.limit import Limit
from bench.peers import Peer, Plan
from proxy.demo.accounts import User
from proxy.demo.cognito import EmbeddedCognito

MEMORY = Path("/dev/shm")  # noqa: S108 - files without a name
"""Where proxies log: disks are not measured."""
FAILURES = (OSError, RuntimeError, subprocess.SubprocessError, EOFError, TimeoutError)
"""Of one proxy, which leave the others worth measuring: what it lacks shows as a dash."""


@dataclass(frozen=True)
class Running:
    """A proxy that was started."""

    port: int
    process: subprocess.Popen[bytes]
    started: float

    @property
    def pid(self) -> int:
        return self.process.pid

    def killed(self) -> bool:
        """Whether it has ended, which nobody has asked it for."""
        try:
            self.process.wait(0.5)
        except subprocess.TimeoutExpired:
            return False
        return True


class Rig:
    """The origins and the Cognito."""

    def __init__(self, folder: Path, cognito: EmbeddedCognito, cognito_url: str, token: str) -> None:
        self.folder = folder
        self.cognito = cognito
        self._cognito_url = cognito_url
        self._token = token
        port, tls_port = free_port(), free_port()
        self.upstream, self.tls_upstream = f"http://localhost:{port}", f"https://localhost:{tls_port}"
        self.port = port
        self._tls_port = tls_port
        self._certificate, key = origin.certificate(folder)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._certificate, key)
        self.sink, self.tls_sink = f"http://localhost:{sink.start()}", f"https://localhost:{sink.start(context)}"
        self.deaf = f"http://localhost:{sink.start(deaf=True)}"

    @classmethod
    def create(cls, folder: Path, cognito: EmbeddedCognito, cognito_url: str) -> "Rig":
        token = cognito.pool.signer.sign({"padding": "x" * 400})
        return cls(folder, cognito, cognito_url, token[:1024].ljust(1024, "x"))

    @contextmanager
    def origin(self) -> Iterator[None]:
        """The origin of most measurements: nginx."""
        nginx = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
        assert nginx is not None
        process = origin.start(nginx, self.folder, self.port, self._tls_port)
        try:
            measure.wait_for_answer(self.port, time.perf_counter())
            yield
        finally:
            process.terminate()
            process.wait()

    @contextmanager
    def far_origin(self) -> Iterator[int]:
        """The port of one that is some milliseconds away."""
        port = free_port()
        command = [sys.executable, "-m", "bench.delay", str(port), str(delay.SECONDS)]
        process = subprocess.Popen(command, cwd=measure.ROOT)
        try:
            measure.wait_for_answer(port, time.perf_counter())
            yield port
        finally:
            process.terminate()
            process.wait()

    @contextmanager
    def running(self, peer: Peer, upstream: str, limit: Limit | None = None) -> Iterator[Running]:
        """A proxy, perhaps with a limit on its memory."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        folder.chmod(0o755)  # workers of nginx are somebody else
        port = free_port()
        command = peer.command(Plan(port, upstream, self._token, self._certificate, self._cognito_url, folder))
        argv = command.argv if limit is None else limit.command(command.argv)
        started = time.perf_counter()
        with tempfile.TemporaryFile(dir=MEMORY if MEMORY.is_dir() else folder) as log:
            process = subprocess.Popen(
                argv, env=clean_environment() | command.environment, stdout=log, stderr=log, cwd=folder
            )
            try:
                yield Running(port, process, started)
            except Exception:
                log.seek(0)
                print(log.read().decode(errors="replace")[-2000:], file=sys.stderr)
                raise
            finally:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:  # Caddy waits for callers who keep their connections
                    process.kill()
                    process.wait()


def new_cognito() -> EmbeddedCognito:
    return EmbeddedCognito(users=[User("bench@example.com", "bench")])


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
