"""The devices that a user pool knows. AWS: "Working with user devices" (Amazon Cognito Developer Guide)."""

import base64
from collections.abc import Callable
from dataclasses import dataclass, field

from proxy.demo.accounts import User
from proxy.demo.protocol import Params, Refusal, invalid_parameter, table, text


@dataclass
class RememberedDevice:
    """A device of a user: known from the sign-in that named it, confirmed once it has told its verifier."""

    user: User
    key: str
    group_key: str
    confirmed: bool = False
    remembered: bool = False
    verifier: int = field(default=0, repr=False)
    salt: int = 0
    name: str = ""


class Devices:
    """All devices of a pool by their keys."""

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self._random = random
        self._devices: dict[str, RememberedDevice] = {}

    def new(self, user: User, key: str) -> RememberedDevice:
        """A device that has yet to be confirmed."""
        group_key = "-" + base64.urlsafe_b64encode(self._random(6)).decode()
        device = self._devices[key] = RememberedDevice(user, key, group_key)
        return device

    def find(self, user: User, key: str) -> RememberedDevice:
        """The device of `user` under `key`; refuses one that there is not."""
        device = self._devices.get(key)
        if device is None or device.user is not user:
            raise Refusal("ResourceNotFoundException", "Device does not exist.")
        return device

    def of(self, user: User) -> list[RememberedDevice]:
        return [device for device in self._devices.values() if device.user is user]

    def forget(self, key: str) -> None:
        """Know the device no more: its refresh tokens are worth nothing from now on."""
        self._devices.pop(key).confirmed = False

    def confirm(self, device: RememberedDevice, params: Params, *, remember: bool) -> None:
        """Take the verifier of ConfirmDevice."""
        if device.confirmed:
            raise Refusal("DeviceKeyExistsException", "Device already exists")
        config = table(params, "DeviceSecretVerifierConfig")
        device.verifier, device.salt = (_number(config, name) for name in ("PasswordVerifier", "Salt"))
        device.name = params.get("DeviceName") or ""
        device.confirmed, device.remembered = True, remember


def _number(config: Params, name: str) -> int:
    try:
        return int.from_bytes(base64.b64decode(text(config, name), validate=True), "big")
    except ValueError:
        raise invalid_parameter(f"{name} is not base64") from None
