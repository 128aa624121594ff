"""Registering this program as a device, where a user pool remembers devices.

Where it does, a refresh token works for a confirmed device alone.
"""

import logging
from collections.abc import Callable

from pydantic import SecretStr

from proxy.errors import CredentialError
from proxy.identity.cognito import payloads, srp
from proxy.identity.cognito.conversation import Conversation
from proxy.identity.cognito.failures import Refused
from proxy.identity.cognito.results import NewDevice
from proxy.identity.issued import Device

log = logging.getLogger(__name__)


async def confirm(
    conversation: Conversation, new: NewDevice, access_token: SecretStr, random: Callable[[int], bytes]
) -> Device | None:
    """ConfirmDevice, and where the user has a say, what they say.

    None where the pool does not take the device: the sign-in is good all the same.
    """
    device = Device(new.key, new.group_key, srp.device_password(random(srp.DEVICE_PASSWORD_BYTES)))
    parameters = payloads.confirm_device(access_token, device, random(srp.DEVICE_SALT_BYTES))
    failure: CredentialError
    try:
        answer = await conversation.call("ConfirmDevice", parameters, patiently=True)
    except Refused as refused:
        if refused.code == "DeviceKeyExistsException":
            # An answer was lost: it was this very device.
            return device
        failure = refused.meaning
    except CredentialError as error:
        failure = error
    else:
        # It changes one thing: a second factor is not asked for again. Whoever has none is not troubled.
        if answer.get("UserConfirmationNecessary") is True and conversation.second_factor:
            await _remember(conversation, device, access_token)
        return device
    log.warning("the user pool did not take this program as a device (%s): its session cannot be renewed", failure)
    return None


async def _remember(conversation: Conversation, device: Device, access_token: SecretStr) -> None:
    """UpdateDeviceStatus, where the user agrees."""
    if not await conversation.answerer.remember_device():
        return
    failure: CredentialError
    try:
        await conversation.call("UpdateDeviceStatus", payloads.remember_device(access_token, device), patiently=True)
    except Refused as refused:
        failure = refused.meaning
    except CredentialError as error:
        failure = error
    else:
        return
    log.warning("the user pool did not remember this device (%s): it asks for a code again next time", failure)
