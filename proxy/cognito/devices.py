"""Registering this program as a device, where a user pool remembers devices.

Where it does, a refresh token works for a confirmed device alone.
"""

import logging
from collections.abc import Callable

from proxy import srp
from proxy.cognito import requests
from proxy.cognito.answers import NewDevice
from proxy.cognito.conversation import Conversation
from proxy.cognito.failures import Refused
from proxy.errors import CredentialError
from proxy.model import Clock, Device

log = logging.getLogger(__name__)

_TRIES = 3
_PAUSE = 1.0


async def confirm(
    conversation: Conversation, new: NewDevice, access_token: str, *, clock: Clock, random: Callable[[int], bytes]
) -> Device | None:
    """ConfirmDevice. None where the pool does not take the device: the sign-in is good all the same."""
    device = Device(new.key, new.group_key, srp.device_password(random(srp.DEVICE_PASSWORD_BYTES)))
    parameters = requests.confirm_device(access_token, device, random(srp.DEVICE_SALT_BYTES))
    for attempt in range(1, _TRIES + 1):
        try:
            await conversation.call("ConfirmDevice", parameters)
        except Refused as refused:
            if refused.code == "DeviceKeyExistsException":
                # An answer was lost: it was this very device.
                return device
            failure = refused.meaning
        except CredentialError as error:
            failure = error
        else:
            return device
        if not failure.transient or attempt == _TRIES:
            break
        await clock.sleep(_PAUSE * attempt)
    log.warning("the user pool did not take this program as a device (%s): its session cannot be renewed", failure)
    return None
