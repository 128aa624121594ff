"""The settings that the inspector depends on."""

from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from proxy.http.options import CertificateFiles


@dataclass(frozen=True, slots=True)
class InspectorOptions:
    """What it depends on, as the settings are now."""

    callers_url: str | None
    """Where callers find the proxy; None where that is where the page is."""
    tls: CertificateFiles | None
    client_token: SecretStr | None
    credential_fields: tuple[str, ...]
    """Names of header fields that hold a secret besides those that are known to."""
    secrets: Any
    """Values in which, however deep, all secrets are that must not be shown."""
