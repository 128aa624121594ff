"""Where the AWS SDK looks for Cognito when no setting says so."""

import pytest
from support.connect_proxy import ConnectProxy

from proxy.errors import SignInFailed
from proxy.http.client.outbound import parse_proxy
from proxy.http.options import OutboundProxies
from proxy.identity.cognito.endpoints import Endpoint
from proxy.identity.cognito.sdk import Sdk


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
