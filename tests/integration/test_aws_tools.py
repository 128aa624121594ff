"""AWS's own tools, given the identity pool's credentials by both doors: `credential_process`, and the container's."""

import asyncio
import json
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from pydantic import SecretStr
from support.commands import Outcome, settings_for
from support.desk import Desk
from support.origin import Origin
from support.servers import REGION, ForeignCognito, admin_client
from support.stack import PASSWORD, closing, options_for, running_proxy, talk

from proxy.app import App
from proxy.demo.accounts import IDENTITY_ID, User
from proxy.demo.cognito import EmbeddedCognito
from proxy.identity.profile import AuthFlow, CognitoPool, Profile
from proxy.settings.options import ServeOptions

AWS_TOKEN = "an-aws-token-of-some-length"
CLIENT_TOKEN = "a-client-token-of-some-length"
BUCKET = "library-upload-syd-cloud"
doors = pytest.mark.parametrize("door", ["credential_process", "container"])


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def document_of(answer: bytes) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return document


async def credentials_from(app: App, *headers: str, target: str = "/-/aws-credentials") -> bytes:
    return await talk(app.urls[0], closing("GET", target, *headers))


def container_variables(app: App, target: str = "/-/aws-credentials") -> dict[str, str]:
    """What a person sets for AWS's tools."""
    return {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": app.urls[0] + target,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": AWS_TOKEN,
    }


def config_file(folder: Path) -> Path:
    """A config file of AWS's tools that names our command."""
    path = folder / "aws-config"
    command = f"{shlex.quote(sys.executable)} -m proxy credentials"
    path.write_text(f"[default]\nregion = {REGION}\ncredential_process = {command}\n")
    return path


@pytest.fixture
def options(cognito: EmbeddedCognito, cognito_url: str, origin: Origin) -> ServeOptions:
    cognito.pool.accounts.users.append(User("two", PASSWORD))
    made = options_for(cognito_url, origin.url, client_token=SecretStr(CLIENT_TOKEN))
    pool = replace(made.profile.pool, identity_pool_id=cognito.pool.config.identity_pool_id)
    profiles = {
        "default": replace(made.profile, pool=pool),
        "two": Profile("two", pool, "two", SecretStr(PASSWORD)),
        "empty": Profile("empty", pool),
    }
    return replace(made, profiles=profiles, aws_credentials_token=SecretStr(AWS_TOKEN))


class TestOnTheWire:
    async def test_whoever_sends_the_token(self, options: ServeOptions, cognito: EmbeddedCognito) -> None:
        """A container's credentials, kept while they are good; no client token besides: the tools can send but one."""
        async with running_proxy(options) as app:
            answers = [await credentials_from(app, f"Authorization: {AWS_TOKEN}") for _ in range(2)]
        assert [status_of(answer) for answer in answers] == [200, 200]
        document = document_of(answers[0])
        assert document == document_of(answers[1])
        assert document.keys() == {"AccessKeyId", "SecretAccessKey", "Token", "Expiration"}
        assert datetime.fromisoformat(document["Expiration"]) > datetime.now(UTC)
        assert b"Cache-Control: no-store" in answers[0]
        assert cognito.counts["GetCredentialsForIdentity"] == 1

    async def test_nobody_else(self, options: ServeOptions, cognito: EmbeddedCognito) -> None:
        """Neither without the token, nor with another, nor a web page that has it; and it opens this door alone."""
        right = f"Authorization: {AWS_TOKEN}"
        refused: list[tuple[int, tuple[str, ...]]] = [
            (401, ()),
            (401, ("Authorization: wrong",)),
            (401, (f"Authorization: Bearer {AWS_TOKEN}",)),
            (401, (f"Authorization: Bearer {CLIENT_TOKEN}",)),
            (401, (right, "Authorization: wrong")),
            (403, (right, "Origin: https://evil.example")),
        ]
        async with running_proxy(options) as app:
            for status, headers in refused:
                answer = await credentials_from(app, *headers)
                assert (status_of(answer), b"AccessKeyId" in answer) == (status, False)
            assert status_of(await credentials_from(app, right, target="/-/status")) == 401
            assert status_of(await credentials_from(app, right, target="/v1/-/aws-credentials")) == 401
        assert cognito.counts["GetId"] == 0

    async def test_of_the_profile_that_was_chosen(self, options: ServeOptions, cognito: EmbeddedCognito) -> None:
        """Each profile has credentials of its own, or an error of its own that names its command."""
        async with running_proxy(options) as app:
            right = f"Authorization: {AWS_TOKEN}"
            two = document_of(await credentials_from(app, right, target="/@two/-/aws-credentials"))
            mine = document_of(await credentials_from(app, right))
            assert two["AccessKeyId"] != mine["AccessKeyId"]
            answer = await credentials_from(app, right, target="/@empty/-/aws-credentials")
            assert (status_of(answer), document_of(answer)["code"]) == (503, "credential_missing")
            assert "`ul-proxy login --profile empty`" in document_of(answer)["hint"]

    async def test_while_the_identity_pool_is_in_trouble(self, options: ServeOptions, cognito: EmbeddedCognito) -> None:
        """503 with Retry-After, at once for those who come after, and requests to upstreams are served meanwhile."""
        cognito.faults.fail(None, "GetId")
        async with running_proxy(options) as app:
            for _ in range(3):
                answer = await credentials_from(app, f"Authorization: {AWS_TOKEN}")
                assert (status_of(answer), document_of(answer)["code"]) == (503, "sign_in_failed")
                assert b"Retry-After: " in answer
            assert cognito.counts["GetId"] == 1
            answer = await talk(app.urls[0], closing("GET", "/v1/job", f"X-UL-Proxy-Token: {CLIENT_TOKEN}"))
            assert status_of(answer) == 200


@doors
async def test_boto3(door: str, options: ServeOptions, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 finds the credentials with nothing of ours in it, and knows when to ask for the next ones."""
    if door == "container":
        async with running_proxy(options) as app:
            for name, value in container_variables(app).items():
                monkeypatch.setenv(name, value)
            found = await asyncio.to_thread(found_by_boto3)
            served = document_of(await credentials_from(app, f"Authorization: {AWS_TOKEN}"))
        assert found.get_frozen_credentials().access_key == served["AccessKeyId"]
        assert found.get_frozen_credentials().token == served["Token"]
    else:
        await desk.keep_session()
        for name, value in desk.env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config_file(desk.folder)))
        monkeypatch.chdir(desk.folder)
        found = await asyncio.to_thread(found_by_boto3)
        assert desk.cognito.counts["GetCredentialsForIdentity"] == 1
    assert found.method == {"container": "container-role", "credential_process": "custom-process"}[door]
    assert found.get_frozen_credentials().secret_key
    assert found.refresh_needed() is False


def found_by_boto3() -> Any:
    credentials = boto3.session.Session().get_credentials()
    assert credentials is not None
    credentials.get_frozen_credentials()
    return credentials


@pytest.mark.parametrize(
    ("door", "foreign_cognito"),
    [("container", "moto"), ("credential_process", "ministack")],
    indirect=["foreign_cognito"],
)
async def test_aws_s3_cp(door: str, foreign_cognito: ForeignCognito, origin: Origin, tmp_path: Path) -> None:
    """The AWS CLI uploads a file with its metadata, as Media Drive wants it, to both emulators' S3."""
    identity_pool_id = foreign_cognito.create_identity_pool()
    s3 = admin_client(foreign_cognito.endpoint_url, "s3")
    bucket = f"{BUCKET}-{door.replace('_', '-')}"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    film = tmp_path / "flight.mp4"
    film.write_bytes(os.urandom(100_000))
    key = f"{IDENTITY_ID}/{door}/flight.mp4"
    command = [
        *("s3", "cp", "flight.mp4", f"s3://{bucket}/{key}", "--metadata", "name=flight.mp4,location=/surveys"),
        *("--endpoint-url", foreign_cognito.endpoint_url, "--region", REGION),
    ]
    if door == "container":
        pool = CognitoPool(
            foreign_cognito.region,
            foreign_cognito.user_pool_id,
            foreign_cognito.client_id,
            AuthFlow.PASSWORD,
            foreign_cognito.endpoint_url,
            identity_pool_id=identity_pool_id,
        )
        profile = Profile("default", pool, foreign_cognito.username, SecretStr(foreign_cognito.password))
        options = options_for("", origin.url, profile=profile)
        async with running_proxy(replace(options, aws_credentials_token=SecretStr(AWS_TOKEN))) as app:
            outcome = await aws(command, tmp_path, container_variables(app))
    else:
        login = {
            "UL_PROXY_USERNAME": foreign_cognito.username,
            "UL_PROXY_PASSWORD": foreign_cognito.password,
            "UL_PROXY_COGNITO__REGION": foreign_cognito.region,
            "UL_PROXY_COGNITO__USER_POOL_ID": foreign_cognito.user_pool_id,
            "UL_PROXY_COGNITO__CLIENT_ID": foreign_cognito.client_id,
            "UL_PROXY_COGNITO__IDENTITY_POOL_ID": identity_pool_id,
            "UL_PROXY_COGNITO__AUTH_FLOW": "password",
        }
        outcome = await aws(command, tmp_path, login | {"AWS_CONFIG_FILE": str(config_file(tmp_path))}, foreign_cognito)
    assert (outcome.status, outcome.err) == (0, "")
    stored = s3.get_object(Bucket=bucket, Key=key)
    assert stored["Body"].read() == film.read_bytes()
    assert stored["Metadata"] == {"name": "flight.mp4", "location": "/surveys"}


async def aws(
    command: list[str], folder: Path, more: Mapping[str, str], cognito: ForeignCognito | None = None
) -> Outcome:
    """The AWS CLI, which finds credentials nowhere but where `more` leads it."""
    python = os.environ["MINISTACK_PYTHON"]  # of the environment that the AWS CLI is in as well
    environment = settings_for(folder, cognito.endpoint_url if cognito else "http://127.0.0.1:9")
    environment |= {"AWS_EC2_METADATA_DISABLED": "true", **more}
    process = await asyncio.create_subprocess_exec(
        python,
        "-m",
        "awscli",
        *command,
        env=environment,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(90):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Outcome(process.returncode, out.decode(), err.decode())
