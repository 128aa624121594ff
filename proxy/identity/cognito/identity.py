"""AWS credentials from an identity pool, in exchange for an ID token (GetId, GetCredentialsForIdentity)."""

from pydantic import SecretStr

from proxy.errors import CredentialMissing
from proxy.identity.cognito import results
from proxy.identity.cognito.calls import Calls
from proxy.identity.cognito.endpoints import identity_pool
from proxy.identity.cognito.failures import Refused
from proxy.identity.issued import AwsCredentials
from proxy.identity.profile import CognitoPool
from proxy.model import Clock


async def credentials(calls: Calls, pool: CognitoPool, id_token: SecretStr, clock: Clock) -> AwsCredentials:
    """The credentials of the user whom `id_token` names; raises a CredentialError."""
    if pool.identity_pool_id is None:
        raise CredentialMissing("there is no identity pool to ask", hint="Set cognito.identity_pool_id.")
    endpoint = identity_pool(pool, pool.identity_pool_id)
    logins = {pool.login_provider: id_token.get_secret_value()}
    try:
        found = await calls.call(endpoint, "GetId", {"IdentityPoolId": pool.identity_pool_id, "Logins": logins})
        identity_id = results.identity_id(found)
        answer = await calls.call(endpoint, "GetCredentialsForIdentity", {"IdentityId": identity_id, "Logins": logins})
    except Refused as refused:
        raise refused.meaning from None
    given, arrived = results.credentials(answer), clock.now()
    # By Cognito's own clock, as with tokens: the local one may be wrong.
    sent = results.server_time(answer)
    return AwsCredentials(
        identity_id=identity_id,
        access_key_id=given.access_key_id,
        secret_access_key=SecretStr(given.secret_key),
        session_token=SecretStr(given.session_token),
        expiration=given.expiration,
        arrived=arrived,
        lifetime=given.expiration.timestamp() - (sent.timestamp() if sent else arrived.wall),
    )
