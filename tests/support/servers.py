"""Foreign Cognito servers as subprocesses: started on a free port of loopback, ended by their own process id."""

import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# boto3 ships no types.
import boto3  # type: ignore[import-untyped]
from botocore.config import Config

from support.environment import guarded_environment

REGION = "ap-southeast-2"
_STARTUP_SECONDS = 60.0
_END_SECONDS = 10.0
_PORTS = range(20_000, 32_000)


@dataclass(frozen=True, slots=True)
class ForeignCognito:
    """A user pool on a server of somebody else's making, with one confirmed user."""

    endpoint_url: str
    region: str
    user_pool_id: str
    client_id: str
    username: str
    password: str

    def admin(self) -> Any:
        """A boto3 `cognito-idp` client with the dummy credentials that pool administration wants."""
        return admin_client(self.endpoint_url)

    def create_identity_pool(self) -> str:
        """An identity pool that takes the user pool's tokens; returns its id."""
        identity = admin_client(self.endpoint_url, "cognito-identity")
        provider = f"cognito-idp.{self.region}.amazonaws.com/{self.user_pool_id}"
        pool = identity.create_identity_pool(
            IdentityPoolName="foreign",
            AllowUnauthenticatedIdentities=False,
            CognitoIdentityProviders=[{"ProviderName": provider, "ClientId": self.client_id}],
        )
        return str(pool["IdentityPoolId"])

    def create_user(self, username: str) -> None:
        """Another confirmed user with the same password."""
        attributes = [{"Name": "email", "Value": f"{username}@example.com"}]
        named = {"UserPoolId": self.user_pool_id, "Username": username}
        self.admin().admin_create_user(**named, MessageAction="SUPPRESS", UserAttributes=attributes)
        self.admin().admin_set_user_password(**named, Password=self.password, Permanent=True)


def admin_client(endpoint_url: str, service: str = "cognito-idp") -> Any:
    """A boto3 client that nothing in the environment or in ~/.aws can redirect."""
    return boto3.session.Session(region_name=REGION).client(
        service,
        endpoint_url=endpoint_url,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        # One attempt: an emulator that answers 500 does so again, and a test should hear of it.
        config=Config(proxies={}, retries={"total_max_attempts": 1}),
    )


def free_port() -> int:
    """A port for who cannot say which one it was given.

    None of those that systems hand out: whoever asked for any port, or connected, could be given it in the meantime.
    """
    # The tests' own seed is the same in every process of theirs.
    for port in random.SystemRandom().sample(_PORTS, 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free")


@contextmanager
def running(command: list[str], folder: Path, port: int, **environment: str) -> Iterator[str]:
    """A server process with all of its files in `folder`; yields its URL once `port` takes connections."""
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=guarded_environment(HOME=str(folder), TMPDIR=str(folder), **environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _await(process, port, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _STARTUP_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with status {process.returncode}:\n{_tail(log)}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"the server took no connection within {_STARTUP_SECONDS:.0f} s:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


@contextmanager
def moto(folder: Path) -> Iterator[str]:
    """moto's server, in a process of its own: its threads, warnings and global state stay out of the tests'."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with running(command, folder, port) as url:
        yield url


@contextmanager
def ministack(folder: Path, python: str) -> Iterator[str]:
    """MiniStack, run by `python`: it pins another botocore and lives in an environment of its own."""
    port = free_port()
    environment = {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_REGION": REGION,
        "STATE_DIR": str(folder / "state"),
        "S3_DATA_DIR": str(folder / "s3"),
        # It removes the containers of whatever Docker daemon it finds.
        "DOCKER_HOST": f"unix://{folder}/no-docker.sock",
    }
    with running([python, "-m", "ministack"], folder, port, **environment) as url:
        yield url


def create_pool(endpoint_url: str) -> ForeignCognito:
    """A user pool, an app client and a confirmed user with a permanent password."""
    username, password = "ada.lovelace", "Correct-Horse-9"
    admin = admin_client(endpoint_url)
    pool = admin.create_user_pool(PoolName="foreign")["UserPool"]["Id"]
    client = admin.create_user_pool_client(
        UserPoolId=pool,
        ClientName="foreign",
        ExplicitAuthFlows=["ALLOW_USER_SRP_AUTH", "ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
    )["UserPoolClient"]["ClientId"]
    created = ForeignCognito(endpoint_url, REGION, pool, client, username, password)
    created.create_user(username)
    return created
