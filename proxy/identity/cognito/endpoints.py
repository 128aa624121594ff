"""Where the services of AWS are."""

from typing import NamedTuple

from proxy.identity.profile import CognitoPool


class Endpoint(NamedTuple):
    """A service of AWS in a region, or whatever stands in for it at `url`."""

    service: str
    region: str
    url: str | None

    @property
    def address(self) -> str:
        return self.url or f"https://{self.service}.{self.region}.amazonaws.com"


def user_pool(pool: CognitoPool) -> Endpoint:
    return Endpoint("cognito-idp", pool.region, pool.endpoint_url)


def identity_pool(pool: CognitoPool, identity_pool_id: str) -> Endpoint:
    """An identity pool is in the region that its id begins with. An emulator has both services at one address."""
    region = identity_pool_id.partition(":")[0]
    return Endpoint("cognito-identity", region, pool.identity_endpoint_url or pool.endpoint_url)
