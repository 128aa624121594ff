"""The embedded user pool, spoken to over HTTP as any Cognito client would."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from support.stack import SIGNER
from support.wire_client import EMAIL, PASSWORD, START, USERNAME, Client, pool_and_client

from proxy.demo.accounts import User
from proxy.demo.cognito import JWKS, EmbeddedCognito
from proxy.demo.protocol import PoolConfig
from proxy.demo.signer import Signer, TokenExpired, TokenRefused
from proxy.identity import claims
from proxy.identity.cognito import srp
from proxy.identity.profile import CognitoPool


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with pool_and_client() as made:
        yield made


def believed(token: str, keys: dict[str, Any], use: str = "id") -> dict[str, Any]:
    config = PoolConfig()
    pool = CognitoPool(config.region, config.user_pool_id, config.client_id)
    return claims.verify(token, keys, pool=pool, token_use=use)


class TestSrp:
    @pytest.mark.parametrize("name", [USERNAME, EMAIL, EMAIL.upper()])
    async def test_signs_in_with_username_or_alias(self, client: Client, name: str) -> None:
        """The right password signs in under the user name and under the e-mail alias."""
        assert set((await client.srp(name)).result) == {
            "AccessToken",
            "ExpiresIn",
            "IdToken",
            "RefreshToken",
            "TokenType",
        }

    async def test_tells_the_real_username(self, client: Client) -> None:
        """Whoever begins with an alias is told the user name that SRP hashes."""
        _, begun = await client.begin(EMAIL)
        parameters = begun.body["ChallengeParameters"]
        assert set(parameters) == {"SALT", "SECRET_BLOCK", "SRP_B", "USERNAME", "USER_ID_FOR_SRP"}
        assert parameters["USER_ID_FOR_SRP"] == parameters["USERNAME"] == USERNAME

    @pytest.mark.parametrize("step", range(24))
    async def test_numbers_of_any_length_agree(self, step: int) -> None:
        """Both sides agree whatever zeros the drawn numbers begin with."""

        def drawn(size: int) -> bytes:
            zeros = step % 4
            return bytes(zeros) + hashlib.shake_256(f"{step}:{size}".encode()).digest(size - zeros)

        cognito = EmbeddedCognito(users=[User(USERNAME, PASSWORD)], random=drawn, signer=SIGNER)
        async with cognito.running() as url, aiohttp.ClientSession() as session:
            client = Client(session, url, cognito)
            exchange, begun = await client.begin(a=(1 << 900) + step)
            assert (await client.respond(client.answer(exchange, begun))).result

    async def test_salt_stays_and_the_rest_is_new(self, client: Client) -> None:
        """A user's salt is the same at every sign-in; B and the secret block never are."""
        first, second = [(await client.begin())[1].body["ChallengeParameters"] for _ in range(2)]
        assert first["SALT"] == second["SALT"]
        assert first["SRP_B"] != second["SRP_B"]
        assert first["SECRET_BLOCK"] != second["SECRET_BLOCK"]

    async def test_secret_block_works_once(self, client: Client) -> None:
        """A right answer that is sent again is refused."""
        exchange, begun = await client.begin()
        responses = client.answer(exchange, begun)
        assert (await client.respond(responses)).status == 200
        assert (await client.respond(responses)).error == ("NotAuthorizedException", "Invalid session for the user.")

    async def test_secret_block_belongs_to_its_session(self, client: Client) -> None:
        """A right answer under the session of another sign-in is refused."""
        exchange, begun = await client.begin()
        _, other = await client.begin()
        answered = await client.respond(client.answer(exchange, begun), Session=other.body["Session"])
        assert answered.error == ("NotAuthorizedException", "Invalid session for the user.")

    async def test_challenge_ends(self, client: Client) -> None:
        """A right answer that comes too late is refused."""
        exchange, begun = await client.begin()
        client.now += 180
        answered = await client.respond(client.answer(exchange, begun))
        assert answered.error == ("NotAuthorizedException", "Invalid session for the user, session is expired.")

    @pytest.mark.parametrize(
        "stamp",
        [
            "Mon Jan 05 09:00:00 UTC 2026",
            "2026-01-05T09:00:00Z",
            "Mo Jan 5 09:00:00 UTC 2026",
            "Mon Jan 5 9:00:00 UTC 2026",
        ],
    )
    async def test_timestamp_form_is_checked(self, client: Client, stamp: str) -> None:
        """A timestamp in any form but Cognito's own is refused, and the challenge may still be answered."""
        exchange, begun = await client.begin()
        responses = client.answer(exchange, begun)
        assert (await client.respond({**responses, "TIMESTAMP": stamp})).error[0] == "InvalidParameterException"
        assert (await client.respond(responses)).status == 200

    @pytest.mark.parametrize("srp_a", ["0", f"{srp.N:x}", f"{2 * srp.N:x}", "xyz", "-5", ""])
    async def test_unusable_public_value(self, client: Client, srp_a: str) -> None:
        """A public value that would fix the session key is refused."""
        params = {"USERNAME": USERNAME, "SRP_A": srp_a}
        answered = await client.call("InitiateAuth", AuthFlow="USER_SRP_AUTH", AuthParameters=params)
        assert answered.error[0] == "InvalidParameterException"

    async def test_no_password_on_the_wire(self, client: Client) -> None:
        """The call log shows that SRP sends neither the password nor an AWS signature."""
        await client.srp()
        assert [call.operation for call in client.cognito.calls] == ["InitiateAuth", "RespondToAuthChallenge"]
        assert not [call for call in client.cognito.calls if json.dumps(PASSWORD).encode() in call.body]
        assert {call.authorization for call in client.cognito.calls} == {None}
        assert client.cognito.calls[0].parameters["AuthParameters"]["USERNAME"] == USERNAME


class TestPasswords:
    @pytest.mark.parametrize("flow", ["srp", "password"])
    @pytest.mark.parametrize("name", [USERNAME, "nobody"])
    async def test_wrong_password_and_unknown_user_look_alike(self, client: Client, flow: str, name: str) -> None:
        """A wrong password and a user who does not exist get the same refusal."""
        answered = await getattr(client, flow)(name, "wrong")
        assert answered.status == 400
        assert answered.error == ("NotAuthorizedException", "Incorrect username or password.")
        assert answered.headers["x-amzn-ErrorType"].startswith("NotAuthorizedException")
        assert answered.headers["x-amzn-RequestId"]

    @pytest.mark.parametrize("flow", ["srp", "password"])
    async def test_a_changed_password_counts_at_once(self, client: Client, flow: str) -> None:
        """After a change the new password signs in and the old one does not."""
        client.user.password = "another one"
        assert (await getattr(client, flow)(USERNAME, PASSWORD)).status == 400
        assert (await getattr(client, flow)(USERNAME, "another one")).result

    @pytest.mark.parametrize("flow", ["srp", "password"])
    @pytest.mark.parametrize(
        ("change", "error"),
        [
            ({"disabled": True}, "NotAuthorizedException"),
            ({"confirmed": False}, "UserNotConfirmedException"),
            ({"reset_required": True}, "PasswordResetRequiredException"),
        ],
    )
    async def test_standing(self, client: Client, flow: str, change: dict[str, bool], error: str) -> None:
        """A user in bad standing is refused by name of the reason, once the password was right."""
        for name, value in change.items():
            setattr(client.user, name, value)
        assert (await getattr(client, flow)()).error[0] == error
        assert (await getattr(client, flow)(USERNAME, "wrong")).error[1] == "Incorrect username or password."

    @pytest.mark.parametrize("flow", ["srp", "password"])
    async def test_lockout_doubles(self, client: Client, flow: str) -> None:
        """From the fifth wrong password on the right one is refused too, for a time that doubles."""
        sign_in: Callable[..., Any] = getattr(client, flow)
        for _ in range(5):
            assert (await sign_in(USERNAME, "wrong")).error[1] == "Incorrect username or password."
        assert (await sign_in()).error == ("NotAuthorizedException", "Password attempts exceeded")
        client.now += 1
        assert (await sign_in(USERNAME, "wrong")).error[1] == "Incorrect username or password."
        client.now += 1
        assert (await sign_in()).error[1] == "Password attempts exceeded"
        client.now += 1
        assert (await sign_in()).result
        assert (await sign_in(USERNAME, "wrong")).error[1] == "Incorrect username or password."
        assert (await sign_in()).result

    @pytest.mark.parametrize("flow", ["srp", "password"])
    async def test_challenge_follows_the_password(self, client: Client, flow: str) -> None:
        """A user with a challenge gets it in place of tokens, with its session and parameters."""
        client.user.challenge = "SOFTWARE_TOKEN_MFA"
        client.user.challenge_parameters = {"FRIENDLY_DEVICE_NAME": "phone"}
        body = (await getattr(client, flow)()).body
        assert body["ChallengeName"] == "SOFTWARE_TOKEN_MFA"
        assert body["Session"]
        assert body["ChallengeParameters"] == {"USER_ID_FOR_SRP": USERNAME, "FRIENDLY_DEVICE_NAME": "phone"}
        assert "AuthenticationResult" not in body

    async def test_new_password_challenge_lists_attributes(self, client: Client) -> None:
        """NEW_PASSWORD_REQUIRED carries the user's attributes as text in JSON, as the service has it."""
        client.user.challenge = "NEW_PASSWORD_REQUIRED"
        parameters = (await client.password()).body["ChallengeParameters"]
        assert json.loads(parameters["userAttributes"]) == {"email": EMAIL}

    async def test_flow_switched_off(self, client: Client) -> None:
        """A flow that the app client does not allow is refused."""
        client.configure(flows=frozenset({"USER_SRP_AUTH"}))
        answered = await client.password()
        assert answered.error == ("InvalidParameterException", "USER_PASSWORD_AUTH flow not enabled for this client")


class TestTokens:
    async def test_claims(self, client: Client) -> None:
        """The ID and access tokens say what Cognito's say, and verify against the published keys."""
        result = (await client.srp()).result
        keys = await client.jwks()
        said = believed(result["IdToken"], keys)
        unique = {name: said.pop(name) for name in ("event_id", "origin_jti", "jti")}
        assert all(unique.values())
        assert said == {
            "sub": client.user.sub,
            "aud": "7jhe1lfkb5pvhbkicc3d14m0ej",
            "iss": "https://cognito-idp.ap-southeast-2.amazonaws.com/ap-southeast-2_UnpJmDeN5",
            "token_use": "id",
            "iat": START,
            "exp": START + 3600,
            "auth_time": START,
            "email": EMAIL,
            "email_verified": True,
            "cognito:username": USERNAME,
            **client.user.attributes,
        }
        access = believed(result["AccessToken"], keys, "access")
        assert access["scope"] == "aws.cognito.signin.user.admin"
        assert access["username"] == USERNAME
        assert access["origin_jti"] == unique["origin_jti"]

    async def test_lifetimes_and_issuer_are_settable(self, client: Client) -> None:
        """ID tokens, access tokens and the issuer follow the settings, each by itself."""
        client.configure(id_lifetime=300, access_lifetime=900, issuer="http://issuer.example/pool")
        result = (await client.password()).result
        said = client.cognito.verify(result["IdToken"])
        access = client.cognito.pool.verify(result["AccessToken"], use="access")
        assert (said["exp"] - said["iat"], access["exp"] - access["iat"], result["ExpiresIn"]) == (300, 900, 900)
        assert said["iss"] == "http://issuer.example/pool"

    async def test_verify_refuses(self, client: Client) -> None:
        """The pool's own check refuses the wrong kind, a broken signature, nonsense, and what has ended."""
        result = (await client.password()).result
        token = result["IdToken"]
        head, body, signature = token.split(".")
        foreign = Signer().sign(client.cognito.verify(token))
        for wrong in (
            result["AccessToken"],
            foreign,
            f"{head}.{body}.{signature[::-1]}",
            "a.b.c",
            "",
            f"{head}.{body}.",
        ):
            with pytest.raises(TokenRefused):
                client.cognito.verify(wrong)
        client.now += 3600
        with pytest.raises(TokenExpired):
            client.cognito.verify(token)

    async def test_keys_rotate(self) -> None:
        """After a rotation a key signs that was not published before, and older tokens still verify."""
        cognito = EmbeddedCognito(users=[User(USERNAME, PASSWORD)])
        async with cognito.running() as url, aiohttp.ClientSession() as session:
            client = Client(session, url, cognito)
            old_token, old_keys = (await client.password()).result["IdToken"], await client.jwks()
            cognito.pool.signer.rotate()
            new_token, new_keys = (await client.password()).result["IdToken"], await client.jwks()
        assert [len(old_keys["keys"]), len(new_keys["keys"])] == [2, 2]
        assert believed(old_token, new_keys)
        assert believed(new_token, new_keys)
        with pytest.raises(claims.UnknownKey):
            believed(new_token, old_keys)


class TestRenewal:
    @pytest.mark.parametrize("flow", ["REFRESH_TOKEN_AUTH", "REFRESH_TOKEN"])
    async def test_without_rotation(self, client: Client, flow: str) -> None:
        """Without rotation both ways of renewing work, again and again, and return no refresh token."""
        first = (await client.srp()).result
        client.now += 60
        for _ in range(2):
            for renewed in (
                await client.renew(first["RefreshToken"]),
                await client.renew_by_flow(first["RefreshToken"], flow),
            ):
                assert set(renewed.result) == {"AccessToken", "ExpiresIn", "IdToken", "TokenType"}
        old, new = client.cognito.verify(first["IdToken"]), client.cognito.verify(renewed.result["IdToken"])
        assert (new["iat"], new["auth_time"]) == (START + 60, START)
        assert new["origin_jti"] == old["origin_jti"]
        assert new["jti"] != old["jti"]

    async def test_with_rotation(self, client: Client) -> None:
        """With rotation a renewal returns a new refresh token, and the old one dies after the grace."""
        client.configure(rotation=True, rotation_grace=10)
        old = (await client.srp()).result["RefreshToken"]
        new = (await client.renew(old)).result["RefreshToken"]
        client.now += 9
        assert (await client.renew(old)).result["RefreshToken"] not in (old, new)
        client.now += 1
        assert (await client.renew(old)).error[0] == "RefreshTokenReuseException"
        assert (await client.renew(new)).result

    async def test_no_grace(self, client: Client) -> None:
        """With a grace of zero the old refresh token is dead at once."""
        client.configure(rotation=True)
        old = (await client.srp()).result["RefreshToken"]
        assert (await client.renew(old)).result
        assert (await client.renew(old)).error[0] == "RefreshTokenReuseException"

    async def test_rotation_switches_the_flow_off(self, client: Client) -> None:
        """With rotation REFRESH_TOKEN_AUTH is refused."""
        client.configure(rotation=True)
        token = (await client.srp()).result["RefreshToken"]
        answered = await client.renew_by_flow(token)
        assert answered.error == ("InvalidParameterException", "REFRESH_TOKEN_AUTH flow not enabled for this client")

    async def test_dead_refresh_tokens(self, client: Client) -> None:
        """Nonsense, an ended and a revoked refresh token are refused, each in its own words."""
        client.configure(refresh_lifetime=7200)
        token, other = [(await client.srp()).result["RefreshToken"] for _ in range(2)]
        assert (await client.renew("nonsense")).error == ("NotAuthorizedException", "Invalid Refresh Token")
        assert (await client.call("RevokeToken", Token=token)).body == {}
        assert (await client.renew(token)).error == ("NotAuthorizedException", "Refresh Token has been revoked")
        client.cognito.revoke(other)
        assert (await client.renew(other)).error[1] == "Refresh Token has been revoked"
        ended = (await client.srp()).result["RefreshToken"]
        client.now += 7200
        assert (await client.renew(ended)).error == ("NotAuthorizedException", "Refresh Token has expired")

    async def test_rotation_prolongs_nothing(self, client: Client) -> None:
        """A replacement ends when the refresh token that it replaced would have."""
        client.configure(rotation=True, refresh_lifetime=7200)
        token = (await client.srp()).result["RefreshToken"]
        client.now += 7000
        token = (await client.renew(token)).result["RefreshToken"]
        client.now += 200
        assert (await client.renew(token)).error[1] == "Refresh Token has expired"

    async def test_disabled_user_cannot_renew(self, client: Client) -> None:
        """Disabling a user ends the renewals, too."""
        token = (await client.srp()).result["RefreshToken"]
        client.user.disabled = True
        assert (await client.renew(token)).error == ("NotAuthorizedException", "User is disabled.")

    async def test_global_sign_out(self, client: Client) -> None:
        """GlobalSignOut ends every sign-in of the user, and the access token with them."""
        first, second = [(await client.srp()).result for _ in range(2)]
        assert (await client.call("GlobalSignOut", AccessToken=first["AccessToken"])).body == {}
        assert (await client.renew(second["RefreshToken"])).error[1] == "Refresh Token has been revoked"
        answered = await client.call("GlobalSignOut", AccessToken=first["AccessToken"])
        assert answered.error == ("NotAuthorizedException", "Access Token has been revoked")
        assert (await client.call("GlobalSignOut", AccessToken="x")).error[1] == "Invalid Access Token"

    async def test_revoking_other_tokens(self, client: Client) -> None:
        """RevokeToken refuses ID and access tokens, and has nothing against tokens that it does not know."""
        token = (await client.srp()).result["AccessToken"]
        assert (await client.call("RevokeToken", Token=token)).error[0] == "UnsupportedTokenTypeException"
        assert (await client.call("RevokeToken", Token="unknown")).status == 200


class TestProtocol:
    async def test_refusals(self, client: Client) -> None:
        """Calls that the service could make nothing of are refused in its words."""
        target = {"X-Amz-Target": "AWSCognitoIdentityProviderService.InitiateAuth"}
        assert (await client.post(b"{}", {})).error[0] == "UnknownOperationException"
        assert (await client.post(b"{", target)).error[0] == "SerializationException"
        assert (await client.post(b"[]", target)).error[0] == "SerializationException"
        assert (await client.post(b"{}", target)).error[0] == "InvalidParameterException"
        assert (await client.call("DeleteEverything")).error[0] == "UnknownOperationException"
        assert (await client.call("InitiateAuth", ClientId="other")).error[0] == "ResourceNotFoundException"
        assert (await client.call("InitiateAuth", AuthFlow="X")).error[0] == "InvalidParameterException"
        assert (await client.call("InitiateAuth", AuthFlow="USER_SRP_AUTH")).error[0] == "InvalidParameterException"
        answered = await client.call("RespondToAuthChallenge", ChallengeName="X", ChallengeResponses={})
        assert answered.error[0] == "InvalidParameterException"

    async def test_older_endpoint(self, client: Client) -> None:
        """An operation can be made unknown, as on an endpoint that is older than it."""
        token = (await client.srp()).result["RefreshToken"]
        client.cognito.unknown_operations.add("GetTokensFromRefreshToken")
        assert (await client.renew(token)).error[0] == "UnknownOperationException"
        assert (await client.renew_by_flow(token)).result

    async def test_no_keys_of_other_pools(self, client: Client) -> None:
        """There is no key set under another pool's id."""
        async with client.session.get(f"{client.url}/ap-southeast-2_other/.well-known/jwks.json") as response:
            assert response.status == 404

    async def test_secrets_stay_out_of_representations(self, client: Client) -> None:
        """Neither a user nor a logged call shows a password in its representation."""
        await client.password()
        assert PASSWORD not in repr(client.user)
        assert PASSWORD not in repr(client.cognito.calls)


class TestFaults:
    async def test_throttle(self, client: Client) -> None:
        """The next calls of an operation are throttled, and no more than asked for."""
        client.cognito.faults.throttle(2, "InitiateAuth")
        for _ in range(2):
            answered = await client.password()
            assert (answered.status, answered.error[0]) == (400, "TooManyRequestsException")
        assert (await client.password()).result
        assert client.cognito.counts["InitiateAuth"] == 3

    async def test_fail(self, client: Client) -> None:
        """An internal error is a 500 that changes nothing."""
        client.cognito.faults.fail()
        answered = await client.password(password="wrong")
        assert (answered.status, answered.error[0]) == (500, "InternalErrorException")

    async def test_down_until_well(self, client: Client) -> None:
        """While the pool is down every connection is closed without an answer, for the key set too."""
        client.cognito.faults.drop()
        with pytest.raises(aiohttp.ClientError):
            await client.password()
        with pytest.raises(aiohttp.ClientError):
            await client.jwks()
        client.cognito.faults.clear()
        assert (await client.password()).result
        assert client.cognito.counts[JWKS] >= 1

    async def test_lost_answer(self, client: Client) -> None:
        """A lost answer leaves the work done: the refresh token has been replaced."""
        client.configure(rotation=True)
        token = (await client.srp()).result["RefreshToken"]
        client.cognito.faults.drop_answer(operation="GetTokensFromRefreshToken")
        # A POST is not sent again by the client, so the pool sees exactly one.
        with pytest.raises(aiohttp.ClientError):
            await client.renew(token)
        assert (await client.renew(token)).error[0] == "RefreshTokenReuseException"

    async def test_hold(self, client: Client) -> None:
        """A held operation answers once it is let go; others answer meanwhile."""
        gate = client.cognito.faults.hold("InitiateAuth")
        held = asyncio.create_task(client.password())
        await client.jwks()
        assert not held.done()
        gate.set()
        assert (await held).result

    async def test_stopping_lets_go(self) -> None:
        """Answers that are still held when the server stops are let go."""
        cognito = EmbeddedCognito(users=[User(USERNAME, PASSWORD)], signer=SIGNER)
        async with aiohttp.ClientSession() as session:
            async with cognito.running() as url:
                client = Client(session, url, cognito)
                cognito.faults.hold("InitiateAuth")
                held = asyncio.create_task(client.password())
                await client.jwks()
            assert (await held).result

    async def test_same_port_again(self) -> None:
        """The pool can be stopped and started again on its port, and remembers its sign-ins."""
        cognito = EmbeddedCognito(users=[User(USERNAME, PASSWORD)], signer=SIGNER)
        async with aiohttp.ClientSession() as session:
            async with cognito.running() as url:
                token = (await Client(session, url, cognito).password()).result["RefreshToken"]
            async with cognito.running(port=int(url.rpartition(":")[2])) as again:
                assert again == url
                assert (await Client(session, url, cognito).renew(token)).result
