"""Where the AWS SDK looks for Cognito when no setting says so."""

import pytest
from support.connect_proxy import ConnectProxy

from proxy.cognito.endpoints import Endpoint
from proxy.cognito.sdk import Sdk
from proxy.errors import SignInFailed
from proxy.model import OutboundProxies
from proxy.outbound import parse_proxy


@pytest.mark.parametrize(
    ("region", "domain"),
    [
        ("ap-southeast-2", "amazonaws.com"),
        ("us-gov-west-1", "amazonaws.com"),
        ("cn-north-1", "amazonaws.com.cn"),
        ("mars-north-1", "amazonaws.com"),
    ],
)
@pytest.mark.parametrize(
    ("service", "operation", "parameters"),
    [
        ("cognito-idp", "InitiateAuth", {"AuthFlow": "USER_SRP_AUTH", "ClientId": "c", "AuthParameters": {}}),
        ("cognito-identity", "GetId", {"IdentityPoolId": "r:p"}),
    ],
)
async def test_hosts(region: str, domain: str, service: str, operation: str, parameters: dict[str, object]) -> None:
    """Each service is at its host in the region, in AWS's domain for that part of the world."""
    async with ConnectProxy(refusal=b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n").running() as via:
        sdk = Sdk(timeout=10, outbound=OutboundProxies(https=parse_proxy(via.url)), ca_file=None)
        with pytest.raises(SignInFailed, match="cannot be reached"):
            await sdk.call(Endpoint(service, region, None), operation, parameters)
        await sdk.close()
    assert set(via.targets) == {f"{service}.{region}.{domain}:443"}
