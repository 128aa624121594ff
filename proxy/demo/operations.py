"""Cognito's operations as functions from parameters to an answer, by their names."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import replace

from proxy.demo.accounts import check_policy, check_standing
from proxy.demo.app_client import check_client, check_hash, check_secret, names_of
from proxy.demo.codes import masked
from proxy.demo.pool import UserPool
from proxy.demo.protocol import Answer, Params, Refusal, invalid_parameter, not_authorized, table, text
from proxy.demo.sign_in import begin_srp, check_password, respond

_SECRET_BYTES = 32
_RESET = "ForgotPassword"
_CONFIRM = "ConfirmSignUp"


def call(pool: UserPool, operation: str, params: Params) -> Answer:
    """Carry out `operation`; raises Refusal."""
    handler = _OPERATIONS.get(operation)
    if handler is None:
        raise Refusal("UnknownOperationException", f"Unknown operation {operation}")
    return handler(pool, params)


def _initiate_auth(pool: UserPool, params: Params) -> Answer:
    """InitiateAuth: begin a sign-in, or renew with a refresh token."""
    check_client(pool.config, params)
    flow = text(params, "AuthFlow")
    handler = _FLOWS.get(flow)
    if handler is None:
        raise invalid_parameter(f"Unknown AuthFlow {flow}")
    name = "REFRESH_TOKEN_AUTH" if flow == "REFRESH_TOKEN" else flow
    if name not in pool.config.flows or (name == "REFRESH_TOKEN_AUTH" and pool.config.rotation):
        raise invalid_parameter(f"{name} flow not enabled for this client")
    return handler(pool, table(params, "AuthParameters"))


def _refresh(pool: UserPool, auth: Params) -> Answer:
    """REFRESH_TOKEN_AUTH."""
    token, device_key = text(auth, "REFRESH_TOKEN"), auth.get("DEVICE_KEY")
    user = pool.grants.redeem(token, pool.now(), pool.config.rotation_grace, device_key).user
    check_hash(pool.config, auth.get("SECRET_HASH"), *names_of(user))
    return _renewed(pool, token, device_key)


def _get_tokens_from_refresh_token(pool: UserPool, params: Params) -> Answer:
    """GetTokensFromRefreshToken: renew, with or without rotation."""
    check_client(pool.config, params)
    check_secret(pool.config, params)
    return _renewed(pool, text(params, "RefreshToken"), params.get("DeviceKey"))


def _renewed(pool: UserPool, token: str, device_key: str | None) -> Answer:
    now = pool.now()
    sign_in = pool.grants.redeem(token, now, pool.config.rotation_grace, device_key)
    check_standing(sign_in.user)
    result = pool.tokens(sign_in)
    if pool.config.rotation:
        result["RefreshToken"] = pool.grants.replace(token, now)
    return {"AuthenticationResult": result, "ChallengeParameters": {}}


def _revoke_token(pool: UserPool, params: Params) -> Answer:
    """RevokeToken: end the sign-in that a refresh token belongs to."""
    check_client(pool.config, params)
    check_secret(pool.config, params, "UnauthorizedException")
    token = text(params, "Token")
    if token.count(".") == 2:  # noqa: PLR2004 - a signed token has three parts, an encrypted one five
        raise Refusal("UnsupportedTokenTypeException", "Unsupported token type")
    pool.grants.revoke(token)
    return {}


def _global_sign_out(pool: UserPool, params: Params) -> Answer:
    """GlobalSignOut: end every sign-in of the user whom an access token names."""
    pool.grants.revoke_all(pool.bearer(text(params, "AccessToken")))
    return {}


def _confirm_device(pool: UserPool, params: Params) -> Answer:
    """ConfirmDevice: remember a device by the verifier of its password."""
    user = pool.bearer(text(params, "AccessToken"))
    device = pool.devices.find(user, text(params, "DeviceKey"))
    on_prompt = pool.config.devices_on_prompt
    pool.devices.confirm(device, params, remember=not on_prompt)
    return {"UserConfirmationNecessary": on_prompt}


def _update_device_status(pool: UserPool, params: Params) -> Answer:
    """UpdateDeviceStatus: the user agrees to have a device remembered, or does no longer."""
    device = pool.devices.find(pool.bearer(text(params, "AccessToken")), text(params, "DeviceKey"))
    status = text(params, "DeviceRememberedStatus")
    if status not in ("remembered", "not_remembered"):
        raise invalid_parameter(f"Unknown DeviceRememberedStatus {status}")
    device.remembered = device.confirmed and status == "remembered"
    return {}


def _associate_software_token(pool: UserPool, params: Params) -> Answer:
    """AssociateSoftwareToken: a secret for an authenticator, in the course of MFA_SETUP."""
    pending = pool.challenges.take(text(params, "Session"), "MFA_SETUP", pool.now())
    secret = base64.b32encode(pool.random(_SECRET_BYTES)).decode().rstrip("=")
    pending = pool.challenges.put(replace(pending, secret=secret), pool.now())
    return {"SecretCode": secret, "Session": pending.session}


def _verify_software_token(pool: UserPool, params: Params) -> Answer:
    """VerifySoftwareToken: the authenticator shows that it has the secret."""
    pending = pool.challenges.take(text(params, "Session"), "MFA_SETUP", pool.now())
    user, secret = pending.user, pending.secret
    if user is None or secret is None:
        raise not_authorized("Invalid session for the user.")
    try:
        pool.codes.check_totp(user, secret, text(params, "UserCode"), pool.now())
    except Refusal:
        pool.challenges.put_back(pending, pool.config.code_tries)
        message = "Code mismatch and fail enable Software Token MFA"
        raise Refusal("EnableSoftwareTokenMFAException", message) from None
    user.totp_secret = secret
    return {"Status": "SUCCESS", "Session": pool.challenges.put(replace(pending, verified=True), pool.now()).session}


def _forgot_password(pool: UserPool, params: Params) -> Answer:
    """ForgotPassword: send a code that allows a new password. Nobody learns who exists."""
    name = _account(pool, params)
    user = pool.accounts.find(name)
    if user is None:
        return _delivered(f"{name[:1]}***@***")
    if user.disabled:
        raise not_authorized("User is disabled.")
    if not user.confirmed:
        raise invalid_parameter("Cannot reset password for the user as there is no registered/verified email")
    pool.codes.send_for(user, _RESET, pool.now() + pool.config.code_lifetime)
    return _delivered(masked(user, "EMAIL"))


def _confirm_forgot_password(pool: UserPool, params: Params) -> Answer:
    """ConfirmForgotPassword: take the new password of whoever knows the code."""
    user = pool.accounts.find(_account(pool, params))
    password = text(params, "Password")
    check_policy(password, pool.config)
    user = pool.codes.redeem(user, _RESET, text(params, "ConfirmationCode"), pool.now())
    user.password, user.reset_required, user.new_password_required = password, False, False
    return {}


def _resend_confirmation_code(pool: UserPool, params: Params) -> Answer:
    """ResendConfirmationCode: send the code that confirms an account."""
    name = _account(pool, params)
    user = pool.accounts.find(name)
    if user is None:
        return _delivered(f"{name[:1]}***@***")
    if user.confirmed:
        raise invalid_parameter("User is already confirmed.")
    pool.codes.send_for(user, _CONFIRM, pool.now() + pool.config.code_lifetime)
    return _delivered(masked(user, "EMAIL"))


def _confirm_sign_up(pool: UserPool, params: Params) -> Answer:
    """ConfirmSignUp: confirm the account of whoever knows the code."""
    user = pool.accounts.find(_account(pool, params))
    if user is not None and user.confirmed:
        raise not_authorized("User cannot be confirmed. Current status is CONFIRMED")
    pool.codes.redeem(user, _CONFIRM, text(params, "ConfirmationCode"), pool.now()).confirmed = True
    return {}


def _account(pool: UserPool, params: Params) -> str:
    check_client(pool.config, params)
    name = text(params, "Username")
    check_hash(pool.config, params.get("SecretHash"), name)
    return name


def _delivered(destination: str) -> Answer:
    details = {"AttributeName": "email", "DeliveryMedium": "EMAIL", "Destination": destination}
    return {"CodeDeliveryDetails": details}


_OPERATIONS: Mapping[str, Callable[[UserPool, Params], Answer]] = {
    "InitiateAuth": _initiate_auth,
    "RespondToAuthChallenge": respond,
    "GetTokensFromRefreshToken": _get_tokens_from_refresh_token,
    "RevokeToken": _revoke_token,
    "GlobalSignOut": _global_sign_out,
    "ConfirmDevice": _confirm_device,
    "UpdateDeviceStatus": _update_device_status,
    "AssociateSoftwareToken": _associate_software_token,
    "VerifySoftwareToken": _verify_software_token,
    "ForgotPassword": _forgot_password,
    "ConfirmForgotPassword": _confirm_forgot_password,
    "ResendConfirmationCode": _resend_confirmation_code,
    "ConfirmSignUp": _confirm_sign_up,
}

_FLOWS: Mapping[str, Callable[[UserPool, Params], Answer]] = {
    "USER_SRP_AUTH": begin_srp,
    "USER_PASSWORD_AUTH": check_password,
    "REFRESH_TOKEN_AUTH": _refresh,
    "REFRESH_TOKEN": _refresh,
}
