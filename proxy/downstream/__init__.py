"""The caller's side of a request, on top of aiohttp's server; only this folder and `app.py` know that server."""

from proxy.downstream.caller import Caller
from proxy.downstream.server import GRACE, Limits, Server

__all__ = ["GRACE", "Caller", "Limits", "Server"]
