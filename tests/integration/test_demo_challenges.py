"""What the embedded pool refuses: answers, devices, secrets and codes that no client should get away with."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr
from support.account import CLIENT_SECRET, TOTP_SECRET
from support.wire_client import EMAIL, PASSWORD, USERNAME, Answered, Client, pool_and_client

from proxy.demo.accounts import User
from proxy.demo.faults import Fault, Faults
from proxy.identity.cognito import srp, totp
from proxy.identity.cognito.payloads import secret_hash

NEW_PASSWORD = "Another-Horse-7"
LOST = ("NotAuthorizedException", "Invalid session for the user.")
MISMATCH = "CodeMismatchException"


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with pool_and_client() as made:
        yield made


async def answer(client: Client, posed: Answered, /, name: str = USERNAME, **responses: str) -> Answered:
    """The answer to a challenge, under its session."""
    return await client.call(
        "RespondToAuthChallenge",
        ChallengeName=posed.body["ChallengeName"],
        ChallengeResponses={"USERNAME": name, **responses},
        Session=posed.body["Session"],
    )


def code(client: Client, secret: str = TOTP_SECRET, *, steps: int = 0) -> str:
    return totp.code(totp.parse_secret(SecretStr(secret)), totp.step_at(client.now) + steps)


def sent(client: Client) -> str:
    return client.cognito.outbox[-1].code


class TestCodes:
    @pytest.mark.parametrize("steps", [-1, 0, 1])
    async def test_an_authenticator_may_be_one_step_off(self, client: Client, steps: int) -> None:
        """The codes of this time step and of its neighbours are right."""
        client.user.totp_secret = TOTP_SECRET
        answered = await answer(client, await client.srp(), SOFTWARE_TOKEN_MFA_CODE=code(client, steps=steps))
        assert answered.result

    @pytest.mark.parametrize("steps", [-2, 2])
    async def test_an_authenticator_may_not_be_further_off(self, client: Client, steps: int) -> None:
        """Older and later codes are wrong."""
        client.user.totp_secret = TOTP_SECRET
        answered = await answer(client, await client.srp(), SOFTWARE_TOKEN_MFA_CODE=code(client, steps=steps))
        assert answered.error[0] == MISMATCH

    async def test_an_authenticators_code_works_once(self, client: Client) -> None:
        """A code that was used, and any older one, is refused in the service's words."""
        client.user.totp_secret = TOTP_SECRET
        used = code(client)
        assert (await answer(client, await client.srp(), SOFTWARE_TOKEN_MFA_CODE=used)).result
        for again in (used, code(client, steps=-1)):
            answered = await answer(client, await client.srp(), SOFTWARE_TOKEN_MFA_CODE=again)
            assert answered.error == ("ExpiredCodeException", "Your software token has already been used once.")

    @pytest.mark.parametrize(("factor", "name"), [("sms_mfa", "SMS_MFA"), ("email_mfa", "EMAIL_OTP")])
    async def test_sent_codes(self, client: Client, factor: str, name: str) -> None:
        """A code is sent to the user, and only that one is right."""
        setattr(client.user, factor, True)
        posed = await client.srp()
        assert client.cognito.outbox[-1].purpose == name
        assert (await answer(client, posed, **{f"{name}_CODE": "wrong"})).error[0] == MISMATCH
        assert (await answer(client, posed, **{f"{name}_CODE": sent(client)})).result

    async def test_wrong_codes_end_the_session(self, client: Client) -> None:
        """After three wrong codes the right one comes too late."""
        client.user.sms_mfa = True
        posed = await client.srp()
        for _ in range(3):
            assert (await answer(client, posed, SMS_MFA_CODE="wrong")).error[0] == MISMATCH
        assert (await answer(client, posed, SMS_MFA_CODE=sent(client))).error == LOST

    async def test_a_session_is_good_for_one_right_code(self, client: Client) -> None:
        """What has been answered cannot be answered again."""
        client.user.sms_mfa = True
        posed = await client.srp()
        assert (await answer(client, posed, SMS_MFA_CODE=sent(client))).result
        assert (await answer(client, posed, SMS_MFA_CODE=sent(client))).error == LOST

    async def test_a_session_belongs_to_its_challenge_and_user(self, client: Client) -> None:
        """A session opens neither another challenge nor another user's account."""
        client.cognito.pool.accounts.users.append(User("other", PASSWORD))
        client.user.sms_mfa = client.user.email_mfa = True
        posed = await client.srp()
        stolen = Answered(200, {**posed.body, "ChallengeName": "SMS_MFA"}, {})
        assert (await answer(client, stolen, SMS_MFA_CODE="123456")).error == LOST
        posed = await answer(client, await client.srp(), ANSWER="SMS_MFA")
        assert (await answer(client, posed, "other", SMS_MFA_CODE=sent(client))).error == LOST

    async def test_a_second_factor_that_the_user_lacks(self, client: Client) -> None:
        """One cannot choose, or answer for, what is not set up."""
        client.user.sms_mfa = client.user.email_mfa = True
        answered = await answer(client, await client.srp(), ANSWER="SOFTWARE_TOKEN_MFA")
        assert answered.error[0] == "MFAMethodNotFoundException"
        client.user.challenge = "SOFTWARE_TOKEN_MFA"
        answered = await answer(client, await client.srp(), SOFTWARE_TOKEN_MFA_CODE="123456")
        assert answered.error[0] == "SoftwareTokenMFANotFoundException"

    async def test_the_preferred_factor_is_asked_for(self, client: Client) -> None:
        """With a preference nobody is asked to choose."""
        client.user.sms_mfa = client.user.email_mfa = True
        client.user.preferred_mfa = "EMAIL_OTP"
        assert (await client.srp()).body["ChallengeName"] == "EMAIL_OTP"


class TestSetUp:
    @pytest.fixture
    async def posed(self, client: Client) -> Answered:
        client.configure(mfa_required=True)
        return await client.srp()

    async def test_goes_step_by_step(self, client: Client, posed: Answered) -> None:
        """MFA_SETUP is passed with the session of a verified authenticator, and with no other."""
        associated = await client.call("AssociateSoftwareToken", Session=posed.body["Session"])
        secret, session = associated.body["SecretCode"], associated.body["Session"]
        wrong = await client.call("VerifySoftwareToken", Session=session, UserCode="000000")
        assert wrong.error[0] == "EnableSoftwareTokenMFAException"
        verified = await client.call("VerifySoftwareToken", Session=session, UserCode=code(client, secret))
        assert verified.body["Status"] == "SUCCESS"
        follow = Answered(200, {**posed.body, "Session": verified.body["Session"]}, {})
        assert (await answer(client, follow)).result
        assert client.user.totp_secret == secret

    async def test_cannot_be_skipped(self, client: Client, posed: Answered) -> None:
        """Without a verified authenticator the challenge stands."""
        assert (await answer(client, posed)).error[0] == "InvalidParameterException"
        posed = await client.srp()
        associated = await client.call("AssociateSoftwareToken", Session=posed.body["Session"])
        follow = Answered(200, {**posed.body, "Session": associated.body["Session"]}, {})
        assert (await answer(client, follow)).error[0] == "InvalidParameterException"
        assert client.user.totp_secret is None

    async def test_wants_a_session_of_its_own(self, client: Client, posed: Answered) -> None:
        """Neither operation takes a session that is unknown or has not come so far."""
        assert (await client.call("AssociateSoftwareToken", Session="x" * 20)).error == LOST
        verified = await client.call("VerifySoftwareToken", Session=posed.body["Session"], UserCode="123456")
        assert verified.error == LOST


class TestDevices:
    @pytest.fixture
    async def signed_in(self, client: Client) -> dict[str, Any]:
        client.configure(remembers_devices=True)
        return (await client.srp()).result

    async def confirm(self, client: Client, result: dict[str, Any], **config: str) -> Answered:
        key, group_key = (result["NewDeviceMetadata"][name] for name in ("DeviceKey", "DeviceGroupKey"))
        told = srp.device_verifier(group_key, key, SecretStr("its own"), b"0123456789abcdef")
        given = {"PasswordVerifier": told.password_verifier, "Salt": told.salt, **config}
        return await client.call(
            "ConfirmDevice", AccessToken=result["AccessToken"], DeviceKey=key, DeviceSecretVerifierConfig=given
        )

    async def test_are_confirmed_once(self, client: Client, signed_in: dict[str, Any]) -> None:
        """A device is taken with its verifier, and not a second time."""
        assert (await self.confirm(client, signed_in)).body == {"UserConfirmationNecessary": False}
        assert (await self.confirm(client, signed_in)).error[0] == "DeviceKeyExistsException"
        access = client.cognito.pool.verify(signed_in["AccessToken"], use="access")
        assert access["device_key"] == signed_in["NewDeviceMetadata"]["DeviceKey"]

    async def test_are_remembered_on_demand(self, client: Client, signed_in: dict[str, Any]) -> None:
        """Where the user is asked, a confirmed device is remembered and forgotten again as they say."""
        client.configure(devices_on_prompt=True)
        assert (await self.confirm(client, signed_in)).body == {"UserConfirmationNecessary": True}
        (device,) = client.cognito.pool.devices.of(client.cognito.pool.accounts.users[0])
        assert device.remembered is False
        key = signed_in["NewDeviceMetadata"]["DeviceKey"]
        for status, remembered in (("remembered", True), ("not_remembered", False)):
            told = {"AccessToken": signed_in["AccessToken"], "DeviceKey": key, "DeviceRememberedStatus": status}
            assert (await client.call("UpdateDeviceStatus", **told)).body == {}
            assert device.remembered is remembered
        told |= {"DeviceRememberedStatus": "perhaps"}
        assert (await client.call("UpdateDeviceStatus", **told)).error[0] == "InvalidParameterException"

    async def test_that_are_refused(self, client: Client, signed_in: dict[str, Any]) -> None:
        """Nonsense for a verifier, somebody else's access token and an unknown key are refused."""
        assert (await self.confirm(client, signed_in, Salt="!")).error[0] == "InvalidParameterException"
        client.cognito.pool.accounts.users.append(User("other", PASSWORD))
        others = (await client.srp("other")).result
        stolen = {**signed_in, "AccessToken": others["AccessToken"]}
        assert (await self.confirm(client, stolen)).error == ("ResourceNotFoundException", "Device does not exist.")
        assert (await self.confirm(client, {**signed_in, "AccessToken": "x"})).error[1] == "Invalid Access Token"

    async def test_hold_the_refresh_token(self, client: Client, signed_in: dict[str, Any]) -> None:
        """Nothing is renewed without the key of a confirmed device, or once it is forgotten."""
        token, key = signed_in["RefreshToken"], signed_in["NewDeviceMetadata"]["DeviceKey"]
        refused = ("NotAuthorizedException", "Invalid Refresh Token")

        async def renew(**more: str) -> Answered:
            return await client.call("GetTokensFromRefreshToken", RefreshToken=token, **more)

        assert (await renew(DeviceKey=key)).error == refused
        await self.confirm(client, signed_in)
        assert (await renew()).error == refused
        assert (await renew(DeviceKey="ap-southeast-2_0")).error == refused
        assert (await client.renew_by_flow(token)).error == refused
        assert (await renew(DeviceKey=key)).result
        client.cognito.pool.devices.forget(key)
        assert (await renew(DeviceKey=key)).error == refused

    async def test_are_proven(self, client: Client, signed_in: dict[str, Any]) -> None:
        """The device's password alone opens DEVICE_PASSWORD_VERIFIER, under the device's own key."""
        await self.confirm(client, signed_in)
        key, group_key = (signed_in["NewDeviceMetadata"][name] for name in ("DeviceKey", "DeviceGroupKey"))
        for password, right in (("another", False), ("its own", True)):
            params = {"USERNAME": USERNAME, "PASSWORD": PASSWORD, "DEVICE_KEY": key}
            posed = await client.call("InitiateAuth", AuthFlow="USER_PASSWORD_AUTH", AuthParameters=params)
            assert posed.body["ChallengeName"] == "DEVICE_SRP_AUTH"
            exchange = srp.SrpExchange(0xA5 << 1000)
            verifier = await answer(client, posed, DEVICE_KEY=key, SRP_A=exchange.srp_a)
            given = verifier.body["ChallengeParameters"]
            assert given["DEVICE_KEY"] == key
            session_key = exchange.key(group_key, key, SecretStr(password), given["SRP_B"], given["SALT"])
            block, stamp = given["SECRET_BLOCK"], "Fri Jan 15 08:00:00 UTC 2027"
            signature = srp.claim(session_key, group_key, key, base64.b64decode(block), stamp)
            answered = await answer(
                client,
                verifier,
                DEVICE_KEY=key,
                TIMESTAMP=stamp,
                PASSWORD_CLAIM_SECRET_BLOCK=block,
                PASSWORD_CLAIM_SIGNATURE=signature,
            )
            assert (answered.status == 200) is right, answered.body
        assert "NewDeviceMetadata" not in answered.result

    async def test_cannot_be_swapped(self, client: Client, signed_in: dict[str, Any]) -> None:
        """A challenge for one device is not answered with the key of another one."""
        await self.confirm(client, signed_in)
        key = signed_in["NewDeviceMetadata"]["DeviceKey"]
        params = {"USERNAME": USERNAME, "PASSWORD": PASSWORD, "DEVICE_KEY": key}
        posed = await client.call("InitiateAuth", AuthFlow="USER_PASSWORD_AUTH", AuthParameters=params)
        answered = await answer(client, posed, DEVICE_KEY="ap-southeast-2_0", SRP_A="abc")
        assert answered.error == ("ResourceNotFoundException", "Device does not exist.")


class TestSecret:
    @pytest.fixture(autouse=True)
    def _with_secret(self, client: Client) -> None:
        client.configure(client_secret=CLIENT_SECRET)

    def hash_of(self, client: Client, name: str) -> str:
        return secret_hash(SecretStr(CLIENT_SECRET), name, client.cognito.pool.config.client_id)

    @pytest.mark.parametrize("flow", ["srp", "password"])
    async def test_sign_ins_without_its_hash(self, client: Client, flow: str) -> None:
        """Without SECRET_HASH nobody gets as far as a password."""
        answered = await (client.begin() if flow == "srp" else client.password())
        answered = answered[1] if isinstance(answered, tuple) else answered
        assert answered.error[0] == "NotAuthorizedException"
        assert "SECRET_HASH was not received" in answered.error[1]

    async def test_answers_under_an_alias(self, client: Client) -> None:
        """Answers to challenges want the hash of the real name, whatever name began."""
        for name, right in ((EMAIL, False), (USERNAME, True)):
            exchange = srp.SrpExchange(0xA5 << 1000)
            auth = {"USERNAME": EMAIL, "SRP_A": exchange.srp_a, "SECRET_HASH": self.hash_of(client, EMAIL)}
            begun = await client.call("InitiateAuth", AuthFlow="USER_SRP_AUTH", AuthParameters=auth)
            responses = {**client.answer(exchange, begun), "SECRET_HASH": self.hash_of(client, name)}
            answered = await client.respond(responses)
            assert (answered.status == 200) is right
            if not right:
                assert answered.error[1].startswith("SecretHash does not match for the client: ")

    async def test_renewal_and_revocation(self, client: Client) -> None:
        """Both want the secret itself; the older renewal wants the hash of the real name or the subject."""
        auth = {"USERNAME": USERNAME, "PASSWORD": PASSWORD, "SECRET_HASH": self.hash_of(client, USERNAME)}
        begun = await client.call("InitiateAuth", AuthFlow="USER_PASSWORD_AUTH", AuthParameters=auth)
        token = begun.result["RefreshToken"]
        for given, status in (({}, 400), ({"ClientSecret": "x" * 32}, 400), ({"ClientSecret": CLIENT_SECRET}, 200)):
            assert (await client.call("GetTokensFromRefreshToken", RefreshToken=token, **given)).status == status
        for name, status in ((EMAIL, 400), (USERNAME, 200), (client.user.sub, 200)):
            old = {"REFRESH_TOKEN": token, "SECRET_HASH": self.hash_of(client, name)}
            answered = await client.call("InitiateAuth", AuthFlow="REFRESH_TOKEN_AUTH", AuthParameters=old)
            assert answered.status == status
        assert (await client.call("RevokeToken", Token=token)).error[0] == "UnauthorizedException"
        assert (await client.call("RevokeToken", Token=token, ClientSecret=CLIENT_SECRET)).status == 200

    async def test_accounts(self, client: Client) -> None:
        """ForgotPassword and its kin want the hash of the name that they are given."""
        assert (await client.call("ForgotPassword", Username=EMAIL)).status == 400
        answered = await client.call("ForgotPassword", Username=EMAIL, SecretHash=self.hash_of(client, EMAIL))
        assert answered.body["CodeDeliveryDetails"]["Destination"] == "p***@e***"

    async def test_of_a_client_that_has_none(self, client: Client) -> None:
        """A hash that nobody asked for is refused."""
        client.configure(client_secret=None)
        auth = {"USERNAME": USERNAME, "PASSWORD": PASSWORD, "SECRET_HASH": "x"}
        answered = await client.call("InitiateAuth", AuthFlow="USER_PASSWORD_AUTH", AuthParameters=auth)
        assert answered.error[0] == "NotAuthorizedException"


class TestRecovery:
    async def test_resets_a_password(self, client: Client) -> None:
        """The code that was sent, and a password that the policy allows, replace the password; the code works once."""
        await client.call("ForgotPassword", Username=EMAIL)

        async def confirm(code: str, password: str = NEW_PASSWORD) -> Answered:
            return await client.call("ConfirmForgotPassword", Username=EMAIL, ConfirmationCode=code, Password=password)

        assert (await confirm("wrong")).error[0] == MISMATCH
        assert (await confirm(sent(client), "weak")).error[0] == "InvalidPasswordException"
        assert (await confirm(sent(client))).body == {}
        assert (await confirm(sent(client))).error[0] == "ExpiredCodeException"
        assert (await client.srp(password=NEW_PASSWORD)).result

    async def test_codes_end(self, client: Client) -> None:
        """A code is good for an hour, and a newer one replaces it."""
        client.user.confirmed = False
        await client.call("ResendConfirmationCode", Username=USERNAME)
        first = sent(client)
        await client.call("ResendConfirmationCode", Username=USERNAME)
        call = {"Username": USERNAME, "ConfirmationCode": first}
        assert (await client.call("ConfirmSignUp", **call)).error[0] == MISMATCH
        client.now += 3600
        call["ConfirmationCode"] = sent(client)
        assert (await client.call("ConfirmSignUp", **call)).error[0] == "ExpiredCodeException"

    async def test_nobody_learns_who_exists(self, client: Client) -> None:
        """For an unknown user a code is said to be on its way, and none is sent."""
        for operation in ("ForgotPassword", "ResendConfirmationCode"):
            assert "CodeDeliveryDetails" in (await client.call(operation, Username="nobody")).body
        answered = await client.call("ConfirmSignUp", Username="nobody", ConfirmationCode="123456")
        assert answered.error[0] == "ExpiredCodeException"
        assert not client.cognito.outbox

    async def test_out_of_place(self, client: Client) -> None:
        """A confirmed account is not confirmed again; a disabled or unconfirmed one cannot reset its password."""
        answered = await client.call("ResendConfirmationCode", Username=USERNAME)
        assert answered.error == ("InvalidParameterException", "User is already confirmed.")
        answered = await client.call("ConfirmSignUp", Username=USERNAME, ConfirmationCode="1")
        assert answered.error[0] == "NotAuthorizedException"
        client.user.confirmed = False
        assert (await client.call("ForgotPassword", Username=USERNAME)).error[0] == "InvalidParameterException"
        client.user.disabled = True
        assert (await client.call("ForgotPassword", Username=USERNAME)).error[1] == "User is disabled."


class TestIdentityPool:
    async def call(self, client: Client, operation: str, **params: Any) -> Answered:
        target = {"X-Amz-Target": f"AWSCognitoIdentityService.{operation}"}
        return await client.post(json.dumps(params).encode(), target)

    async def test_identities_without_a_claim_stay_the_same(self, client: Client) -> None:
        """A user whose token names no identity gets one, and the same one again."""
        client.user.attributes.clear()
        config = client.cognito.pool.config
        logins = {config.provider: (await client.srp()).result["IdToken"]}
        params = {"IdentityPoolId": config.identity_pool_id, "Logins": logins}
        first, second = [(await self.call(client, "GetId", **params)).body["IdentityId"] for _ in range(2)]
        assert first == second
        assert first.startswith("ap-southeast-2:")

    async def test_refusals(self, client: Client) -> None:
        """No login, another provider's, an access token and somebody else's identity are refused."""
        config = client.cognito.pool.config
        result = (await client.srp()).result
        pool, logins = config.identity_pool_id, {config.provider: result["IdToken"]}
        wrong: list[tuple[str, dict[str, Any], str]] = [
            ("GetId", {"IdentityPoolId": pool}, "NotAuthorizedException"),
            ("GetId", {"IdentityPoolId": pool, "Logins": {"accounts.example": "x"}}, "NotAuthorizedException"),
            ("GetId", {"IdentityPoolId": "x", "Logins": logins}, "ResourceNotFoundException"),
            (
                "GetId",
                {"IdentityPoolId": pool, "Logins": {config.provider: result["AccessToken"]}},
                "NotAuthorizedException",
            ),
            ("GetCredentialsForIdentity", {"IdentityId": "x", "Logins": logins}, "NotAuthorizedException"),
            ("DeleteIdentities", {}, "UnknownOperationException"),
        ]
        for operation, params, error in wrong:
            assert (await self.call(client, operation, **params)).error[0] == error


def test_chances_are_drawn_for_their_operation() -> None:
    """A fault befalls as many calls as was drawn, of its own operation alone, until all is well."""
    faults = Faults()
    draws = iter([0.05, 0.5, 0.09, 0.1])
    faults.sometimes(Fault.THROTTLE, 0.1, lambda: next(draws), "A")
    assert faults.take("B") is None
    assert [faults.take("A") for _ in range(4)] == [Fault.THROTTLE, None, Fault.THROTTLE, None]
    faults.clear()
    assert faults.take("A") is None
