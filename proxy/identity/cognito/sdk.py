"""The AWS SDK, kept apart: importing it takes a good part of a second, so `calls.py` loads this module when needed."""

import asyncio
import gzip
import json
import logging
from contextlib import AsyncExitStack, suppress
from functools import cache
from pathlib import Path
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from aiohttp import ClientError as AiohttpError
from botocore import UNSIGNED, xform_name
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES as SESSION_VARIABLES
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from botocore.loaders import JSONFileLoader, Loader
from botocore.plugin import PluginContext, set_plugin_context

from proxy.errors import IncompatibleLibrary, SignInFailed, coupling
from proxy.http.address import Upstream
from proxy.http.client.outbound import choose
from proxy.http.options import OutboundProxies
from proxy.identity.cognito.endpoints import Endpoint
from proxy.identity.cognito.failures import Refused, unreachable
from proxy.identity.cognito.http_client import HttpClient

log = logging.getLogger(__name__)


class Sdk:
    """Unsigned calls, which nothing on the machine (AWS_* variables, ~/.aws) can change."""

    def __init__(self, *, timeout: float, outbound: OutboundProxies, ca_file: Path | None) -> None:
        """`timeout` in seconds is for each call, connecting included. `ca_file` replaces the machine's authorities."""
        self._timeout = timeout
        self._outbound = outbound
        self._ca_file = ca_file
        self._clients: dict[Endpoint, Any] = {}
        self._stack = AsyncExitStack()
        self._lock = asyncio.Lock()

    async def call(self, endpoint: Endpoint, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """The answer of one operation; raises Refused for an error answer, SignInFailed where there was none."""
        try:
            client = await self._client(endpoint)
            # From connecting to the last byte.
            async with asyncio.timeout(self._timeout):
                answer: dict[str, Any] = await getattr(client, xform_name(operation))(**parameters)
        except ClientError as error:
            fault = error.response.get("Error", {})
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
            code, message = (str(fault.get(name) or "") for name in ("Code", "Message"))
            raise Refused(operation, status, code, message) from None
        except ParamValidationError:
            # Its text quotes the parameters, a password among them.
            raise Refused(operation, 400, "InvalidParameterException", "") from None
        except (IncompatibleLibrary, SignInFailed):
            raise
        except (BotoCoreError, AiohttpError, TimeoutError, OSError) as error:
            log.debug("no answer", exc_info=True)
            raise unreachable(error) from None
        except Exception as error:
            # The SDK's parsers raise whatever comes up when the answer has another shape than Cognito's.
            log.debug("an answer that the SDK cannot read", exc_info=True)
            raise SignInFailed(f"Cognito's answer makes no sense ({type(error).__name__})") from None
        if not isinstance(answer, dict):
            raise SignInFailed("Cognito's answer makes no sense")
        return answer

    async def close(self) -> None:
        await self._stack.aclose()

    async def _client(self, endpoint: Endpoint) -> Any:
        async with self._lock:
            if endpoint not in self._clients:
                self._clients[endpoint] = await self._new_client(endpoint)
            return self._clients[endpoint]

    async def _new_client(self, endpoint: Endpoint) -> Any:
        """Raises IncompatibleLibrary where the SDK would send by a client of its own, before it sends anything."""
        via = choose(self._outbound, Upstream.parse(endpoint.address))
        http_client = HttpClient(via=via, ca_file=self._ca_file)
        config = AioConfig(
            signature_version=UNSIGNED,
            # SingleFlight has the only retry loop.
            retries={"mode": "standard", "total_max_attempts": 1},
            ignore_configured_endpoint_urls=True,
            proxies={},
            # Called like a class, with what this client knows better.
            http_session_cls=lambda **_options: http_client,
        )
        set_plugin_context(PluginContext(plugins="DISABLED"))
        made = _session().create_client(
            endpoint.service, region_name=endpoint.region, endpoint_url=endpoint.url, config=config
        )
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(made)
            if not http_client.in_use:
                raise coupling.incompatible("aiobotocore", "does not send by the HTTP client that it is given")
            await self._stack.enter_async_context(stack.pop_all())
        return client


class _Descriptions(JSONFileLoader):  # type: ignore[misc]  # the SDK has no types
    """Reads the SDK's descriptions without what nobody here asks for, which would be a tenth of the idle memory.

    That is their documentation, and where in the world each of AWS's services has endpoints: the rules of a service say
    that as well.
    """

    def load_file(self, file_path: str) -> Any:
        for suffix, open_file in ((".json", open), (".json.gz", gzip.open)):
            with suppress(FileNotFoundError), open_file(file_path + suffix, "rb") as file:
                return json.load(file, object_pairs_hook=_without_ballast)
        return None


def _without_ballast(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of a description. Called for inner ones first: what those drop is free at once."""
    kept = {name: value for name, value in pairs if name not in ("documentation", "endpoints")}
    if "services" in kept:
        kept["services"] = {}
    return kept


@cache
def _session() -> AioSession:
    """What all clients have in common; to make it takes as long as to make a client."""
    # Every variable keeps its built-in default and loses the environment variable and the config key that set it;
    # without files there are no AWS profiles either.
    isolated = {name: (None, None, default, convert) for name, (_, _, default, convert) in SESSION_VARIABLES.items()}
    for name in ("config_file", "credentials_file"):
        isolated[name] = (None, None, "/dev/null", None)
    session = AioSession(session_vars=isolated)
    # Not ~/.aws/models: a file there could send the password anywhere. What has been read of the rest is kept.
    paths = [Loader.BUILTIN_DATA_PATH]
    models = Loader(extra_search_paths=paths, include_default_search_paths=False, file_loader=_Descriptions())
    session.register_component("data_loader", models)
    return session
