"""Signing in to the embedded pool: the first factor, the challenges that follow it, and the tokens at their end."""

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import replace

from pydantic import SecretStr

from proxy.demo.accounts import User, check_policy
from proxy.demo.app_client import check_client, check_hash
from proxy.demo.challenges import DEVICE, MFA, Pending, Progress, next_challenge
from proxy.demo.codes import masked
from proxy.demo.grants import SignIn
from proxy.demo.pool import UserPool
from proxy.demo.protocol import Answer, Params, Refusal, code_mismatch, invalid_parameter, not_authorized, table, text
from proxy.demo.srp_server import ServerExchange, check_timestamp, parse_public, verifier
from proxy.identity.cognito.srp import PRIVATE_BYTES

_SECRET_BLOCK_BYTES = 96
_MEDIA = {"SMS_MFA": "SMS", "EMAIL_OTP": "EMAIL"}
_ATTRIBUTE = "userAttributes."


# Flows of InitiateAuth


def begin_srp(pool: UserPool, auth: Params) -> Answer:
    """USER_SRP_AUTH."""
    name, srp_a = text(auth, "USERNAME"), parse_public(text(auth, "SRP_A"))
    check_hash(pool.config, auth.get("SECRET_HASH"), name)
    user = pool.accounts.find(name)
    # Somebody unknown gets a challenge too, with a salt that stays the same, and fails when answering it.
    known_as = name if user is None else user.username
    password = pool.secret.hex() if user is None else user.password
    salt = pool.salt(known_as)
    v = verifier(pool.config.name, known_as, SecretStr(password), salt)
    pending = Pending("PASSWORD_VERIFIER", known_as, user, _ends(pool), device_key=auth.get("DEVICE_KEY"))
    return _begin_exchange(pool, pending, v=v, salt=salt, srp_a=srp_a, more={"USER_ID_FOR_SRP": known_as})


def check_password(pool: UserPool, auth: Params) -> Answer:
    """USER_PASSWORD_AUTH."""
    name = text(auth, "USERNAME")
    check_hash(pool.config, auth.get("SECRET_HASH"), name)
    user = pool.accounts.find(name)
    given = text(auth, "PASSWORD").encode()
    proven = user is not None and hmac.compare_digest(user.password.encode(), given)
    user = pool.accounts.judge(user, proven, pool.now())
    return _go_on(pool, user, _with_device(pool, user, auth.get("DEVICE_KEY")))


# Answers to challenges


def respond(pool: UserPool, params: Params) -> Answer:
    """RespondToAuthChallenge: go on with a sign-in."""
    check_client(pool.config, params)
    name = text(params, "ChallengeName")
    handler = _CHALLENGES.get(name)
    if handler is None:
        raise invalid_parameter(f"Challenge {name} cannot be answered")
    responses = table(params, "ChallengeResponses")
    by_block = name in ("PASSWORD_VERIFIER", "DEVICE_PASSWORD_VERIFIER")
    if by_block:
        check_timestamp(text(responses, "TIMESTAMP"))
    key = text(responses, "PASSWORD_CLAIM_SECRET_BLOCK") if by_block else text(params, "Session")
    pending = pool.challenges.answered(key, params, responses, pool.now())
    check_hash(pool.config, responses.get("SECRET_HASH"), pending.known_as)
    return handler(pool, pending, responses)


def _verify_password(pool: UserPool, pending: Pending, responses: Params) -> Answer:
    proven = _proves(pending, responses, pool.config.name, pending.known_as)
    user = pool.accounts.judge(pending.user, proven, pool.now())
    return _go_on(pool, user, _with_device(pool, user, responses.get("DEVICE_KEY") or pending.device_key))


def _begin_device(pool: UserPool, pending: Pending, responses: Params) -> Answer:
    device, srp_a = pending.progress.device, parse_public(text(responses, "SRP_A"))
    if device is None or text(responses, "DEVICE_KEY") != device.key:
        raise Refusal("ResourceNotFoundException", "Device does not exist.")
    follow = Pending("DEVICE_PASSWORD_VERIFIER", pending.known_as, pending.user, _ends(pool), progress=pending.progress)
    more = {"DEVICE_KEY": device.key}
    return _begin_exchange(pool, follow, v=device.verifier, salt=device.salt, srp_a=srp_a, more=more)


def _verify_device(pool: UserPool, pending: Pending, responses: Params) -> Answer:
    device = pending.progress.device
    if device is None or not _proves(pending, responses, device.group_key, device.key):
        raise not_authorized("Incorrect username or password.")
    return _go_on(pool, _user(pending), pending.progress.past(DEVICE))


def _check_sent_code(pool: UserPool, pending: Pending, responses: Params) -> Answer:
    given = text(responses, f"{pending.challenge}_CODE")
    if pending.code is None or not hmac.compare_digest(given.encode(), pending.code.encode()):
        pool.challenges.put_back(pending, pool.config.code_tries)
        raise code_mismatch()
    return _go_on(pool, _user(pending), pending.progress.past(MFA, pending.challenge))


def _check_authenticator(pool: UserPool, pending: Pending, responses: Params) -> Answer:
    user, given = _user(pending), text(responses, "SOFTWARE_TOKEN_MFA_CODE")
    if user.totp_secret is None:
        raise Refusal("SoftwareTokenMFANotFoundException", "Software Token MFA does not exist for the user.")
    try:
        pool.codes.check_totp(user, user.totp_secret, given, pool.now())
    except Refusal:
        pool.challenges.put_back(pending, pool.config.code_tries)
        raise
    return _go_on(pool, user, pending.progress.past(MFA, pending.challenge))


def _select_factor(pool: UserPool, pending: Pending, responses: Params) -> Answer:
    user, chosen = _user(pending), text(responses, "ANSWER")
    if chosen not in user.second_factors:
        raise Refusal("MFAMethodNotFoundException", "No MFA mechanism registered in the account.")
    progress = pending.progress.past(pending.challenge)
    return _go_on(pool, user, replace(progress, chosen=chosen))


def _set_up_factor(pool: UserPool, pending: Pending, _responses: Params) -> Answer:
    if not pending.verified:
        raise invalid_parameter("Software token has not been verified.")
    return _go_on(pool, _user(pending), pending.progress.past(MFA, pending.challenge))


def _take_new_password(pool: UserPool, pending: Pending, responses: Params) -> Answer:
    user, password = _user(pending), text(responses, "NEW_PASSWORD")
    given = {key.removeprefix(_ATTRIBUTE): value for key, value in responses.items() if key.startswith(_ATTRIBUTE)}
    try:
        check_policy(password, pool.config)
        for name in _lacking(pool, user):
            if not given.get(name):
                raise invalid_parameter(f"Invalid attributes given, {name} is missing")
    except Refusal:
        pool.challenges.put_back(pending, pool.config.code_tries)
        raise
    user.password, user.new_password_required = password, False
    user.attributes.update(given)
    return _go_on(pool, user, pending.progress.past(pending.challenge))


# Parts


def _go_on(pool: UserPool, user: User, progress: Progress) -> Answer:
    """The next challenge, or tokens."""
    name = next_challenge(user, pool.config, progress)
    if name is None:
        return _signed_in(pool, user, progress)
    medium = _MEDIA.get(name)
    code = pool.codes.send(user, medium, name) if medium else None
    pending = Pending(name, user.username, user, _ends(pool), progress=progress, code=code)
    parameters = {"USER_ID_FOR_SRP": user.username, **_parameters(pool, user, name), **user.challenge_parameters}
    session = pool.challenges.put(pending, pool.now()).session
    return {"ChallengeName": name, "ChallengeParameters": parameters, "Session": session}


def _parameters(pool: UserPool, user: User, name: str) -> Mapping[str, str]:
    """The ChallengeParameters of a challenge, in the service's own form: lists are text in JSON."""
    if name in _MEDIA:
        medium = _MEDIA[name]
        return {"CODE_DELIVERY_DELIVERY_MEDIUM": medium, "CODE_DELIVERY_DESTINATION": masked(user, medium)}
    if name == "NEW_PASSWORD_REQUIRED":
        return {
            "requiredAttributes": json.dumps([_ATTRIBUTE + lacking for lacking in _lacking(pool, user)]),
            "userAttributes": json.dumps({"email": user.email}),
        }
    return {
        "SELECT_MFA_TYPE": {"MFAS_CAN_CHOOSE": json.dumps(user.second_factors)},
        "MFA_SETUP": {"MFAS_CAN_SETUP": json.dumps(["SOFTWARE_TOKEN_MFA"])},
        "SOFTWARE_TOKEN_MFA": {"FRIENDLY_DEVICE_NAME": "authenticator"},
    }.get(name, {})


def _signed_in(pool: UserPool, user: User, progress: Progress) -> Answer:
    now, device = pool.now(), progress.device
    news: Answer = {}
    if device is None and pool.config.remembers_devices:
        device = pool.devices.new(user, f"{pool.config.region}_{pool.new_uuid()}")
        news = {"NewDeviceMetadata": {"DeviceKey": device.key, "DeviceGroupKey": device.group_key}}
    sign_in = SignIn(user, pool.new_uuid(), int(now), now + pool.config.refresh_lifetime, device)
    result = {**pool.tokens(sign_in), "RefreshToken": pool.grants.issue(sign_in), **news}
    return {"AuthenticationResult": result, "ChallengeParameters": {}}


def _begin_exchange(
    pool: UserPool, pending: Pending, *, v: int, salt: int, srp_a: int, more: Mapping[str, str]
) -> Answer:
    """Pose a challenge to prove a password of which `v` is the verifier."""
    exchange = ServerExchange.begin(v, int.from_bytes(pool.random(PRIVATE_BYTES), "big"), srp_a)
    secret_block = base64.b64encode(pool.random(_SECRET_BLOCK_BYTES)).decode()
    session = pool.challenges.put(replace(pending, exchange=exchange), pool.now(), key=secret_block).session
    return {
        "ChallengeName": pending.challenge,
        "ChallengeParameters": {
            # Without leading zeros, as the service writes numbers: clients hash them as they came.
            "SALT": f"{salt:x}",
            "SECRET_BLOCK": secret_block,
            "SRP_B": f"{exchange.srp_b:x}",
            "USERNAME": pending.known_as,
            **more,
        },
        "Session": session,
    }


def _proves(pending: Pending, responses: Params, pool: str, user: str) -> bool:
    signature = text(responses, "PASSWORD_CLAIM_SIGNATURE")
    block, stamp = text(responses, "PASSWORD_CLAIM_SECRET_BLOCK"), text(responses, "TIMESTAMP")
    exchange = pending.exchange
    return exchange is not None and exchange.proves(signature, pool=pool, user=user, secret_block=block, stamp=stamp)


def _with_device(pool: UserPool, user: User, key: str | None) -> Progress:
    return Progress(pool.devices.find(user, key) if key and pool.config.remembers_devices else None)


def _lacking(pool: UserPool, user: User) -> list[str]:
    return [name for name in pool.config.required_attributes if not user.attributes.get(name)]


def _user(pending: Pending) -> User:
    if pending.user is None:
        raise not_authorized("Invalid session for the user.")
    return pending.user


def _ends(pool: UserPool) -> float:
    return pool.now() + pool.config.session_lifetime


_CHALLENGES: Mapping[str, Callable[[UserPool, Pending, Params], Answer]] = {
    "PASSWORD_VERIFIER": _verify_password,
    "DEVICE_SRP_AUTH": _begin_device,
    "DEVICE_PASSWORD_VERIFIER": _verify_device,
    "SMS_MFA": _check_sent_code,
    "EMAIL_OTP": _check_sent_code,
    "SOFTWARE_TOKEN_MFA": _check_authenticator,
    "SELECT_MFA_TYPE": _select_factor,
    "MFA_SETUP": _set_up_factor,
    "NEW_PASSWORD_REQUIRED": _take_new_password,
}
"""Who judges the answer to which challenge: ChallengeResponses in, tokens or the next challenge out."""
