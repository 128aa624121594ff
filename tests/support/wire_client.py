"""A Cognito client made of aiohttp and `proxy.identity.cognito.srp` alone, to say to a pool whatever a test likes."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import aiohttp
from pydantic import SecretStr

from proxy.demo.accounts import User
from proxy.demo.cognito import EmbeddedCognito
from proxy.demo.protocol import PoolConfig
from proxy.identity.cognito import srp
from support.stack import SIGNER

PASSWORD = "Correct horse ß 1!"
USERNAME = "pilot-7"
EMAIL = "pilot@example.com"
START = 1_800_000_000.0


@dataclass
class Answered:
    status: int
    body: dict[str, Any]
    headers: dict[str, str]

    @property
    def error(self) -> tuple[str, str]:
        return self.body["__type"], self.body["message"]

    @property
    def result(self) -> dict[str, Any]:
        assert self.status == 200, self.body
        result: dict[str, Any] = self.body["AuthenticationResult"]
        return result


class Client:
    """Speaks to an embedded pool as one user, whose first it is."""

    def __init__(self, session: aiohttp.ClientSession, url: str, cognito: EmbeddedCognito) -> None:
        self.session = session
        self.url = url
        self.cognito = cognito
        self.user = cognito.pool.accounts.users[0]
        self.now = START

    def configure(self, **changes: Any) -> None:
        self.cognito.pool.config = replace(self.cognito.pool.config, **changes)

    async def call(self, operation: str, **params: Any) -> Answered:
        headers = {"X-Amz-Target": f"AWSCognitoIdentityProviderService.{operation}"}
        return await self.post(json.dumps({"ClientId": self.cognito.pool.config.client_id, **params}).encode(), headers)

    async def post(self, body: bytes, headers: dict[str, str]) -> Answered:
        headers = {"Content-Type": "application/x-amz-json-1.1", **headers}
        async with self.session.post(self.url, data=body, headers=headers) as response:
            return Answered(response.status, json.loads(await response.read()), dict(response.headers))

    async def begin(self, name: str = USERNAME, a: int = 0xA5 << 1000) -> tuple[srp.SrpExchange, Answered]:
        exchange = srp.SrpExchange(a)
        params = {"USERNAME": name, "SRP_A": exchange.srp_a}
        return exchange, await self.call("InitiateAuth", AuthFlow="USER_SRP_AUTH", AuthParameters=params)

    def answer(self, exchange: srp.SrpExchange, begun: Answered, password: str = PASSWORD) -> dict[str, str]:
        given = begun.body["ChallengeParameters"]
        user, pool = given["USER_ID_FOR_SRP"], self.cognito.pool.config.name
        key = exchange.key(pool, user, SecretStr(password), given["SRP_B"], given["SALT"])
        stamp = srp.timestamp(datetime.fromtimestamp(self.now, UTC))
        return {
            "USERNAME": user,
            "TIMESTAMP": stamp,
            "PASSWORD_CLAIM_SECRET_BLOCK": given["SECRET_BLOCK"],
            "PASSWORD_CLAIM_SIGNATURE": srp.claim(key, pool, user, base64.b64decode(given["SECRET_BLOCK"]), stamp),
        }

    async def respond(self, responses: dict[str, str], **params: Any) -> Answered:
        return await self.call(
            "RespondToAuthChallenge", ChallengeName="PASSWORD_VERIFIER", ChallengeResponses=responses, **params
        )

    async def srp(self, name: str = USERNAME, password: str = PASSWORD) -> Answered:
        exchange, begun = await self.begin(name)
        return await self.respond(self.answer(exchange, begun, password), Session=begun.body["Session"])

    async def password(self, name: str = USERNAME, password: str = PASSWORD) -> Answered:
        params = {"USERNAME": name, "PASSWORD": password}
        return await self.call("InitiateAuth", AuthFlow="USER_PASSWORD_AUTH", AuthParameters=params)

    async def renew(self, token: str) -> Answered:
        return await self.call("GetTokensFromRefreshToken", RefreshToken=token)

    async def renew_by_flow(self, token: str, flow: str = "REFRESH_TOKEN_AUTH") -> Answered:
        return await self.call("InitiateAuth", AuthFlow=flow, AuthParameters={"REFRESH_TOKEN": token})

    async def jwks(self) -> dict[str, Any]:
        async with self.session.get(f"{self.url}/{PoolConfig().user_pool_id}/.well-known/jwks.json") as response:
            assert response.status == 200
            keys: dict[str, Any] = await response.json()
            return keys


@asynccontextmanager
async def pool_and_client() -> AsyncIterator[Client]:
    """A pool with one user, whose clock is the client's `now`."""

    def clock() -> float:
        return made.now

    cognito = EmbeddedCognito(users=[User(USERNAME, PASSWORD, email=EMAIL)], clock=clock, signer=SIGNER)
    async with cognito.running() as url, aiohttp.ClientSession() as session:
        made = Client(session, url, cognito)
        yield made
