"""Whether the proxy could listen where the settings say."""

import asyncio
import errno
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from proxy.doctor.findings import Finding, fail, ok, warn
from proxy.errors import ProxyError
from proxy.errors.names import flag, variable
from proxy.http.address import Bind
from proxy.http.server.listen import is_live


async def look_at(bind: Bind, setting: str, inquire: Callable[[Bind], Awaitable[Mapping[str, Any]]]) -> Finding:
    """Free, taken by a proxy of ours, or no place to listen at all. Nobody can connect meanwhile, and no file is left.

    `setting` is where `bind` stands; `inquire` is as for NetworkProbes.
    """
    where = f"another address: {flag(setting)} or {variable(setting)}."
    try:
        taken = _taken_path(Path(bind.path)) if bind.path is not None else await asyncio.to_thread(_taken, bind)
    except OSError as error:
        return fail(f"cannot listen there: {error.strerror or error}", f"Choose {where}")
    if not taken:
        return ok("free: any port" if bind.path is None and bind.port == 0 else "free")
    try:
        status = await inquire(bind)
    except ProxyError as error:
        return fail(f"taken: {error.detail}", f"End that program, or choose {where}")
    return of_ours(status)


def of_ours(status: Mapping[str, Any]) -> Finding:
    """The verdict on a proxy of ours that is there already."""
    if "version" not in status:
        return ok("a proxy of ours runs there")
    named = f"ul-proxy {status['version']} runs there"
    if status.get("ready"):
        return ok(f"{named}, and is ready")
    profiles = status.get("profiles")
    errors = [profile.get("error") for profile in profiles.values()] if isinstance(profiles, dict) else []
    reason = next((f": {error.get('detail')}" for error in errors if isinstance(error, dict)), "")
    return warn(f"{named}, and is not ready{reason}", "Ask it: `ul-proxy status`.")


def _taken(bind: Bind) -> bool:
    """Whether an address is in use; raises OSError where it is none of this machine's, or not for everybody."""
    infos = socket.getaddrinfo(bind.host, bind.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, address in infos:
        with socket.socket(family, kind, protocol) as sock:
            # As the proxy does it, but without listening: nobody is let in who would be cut off at once.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                sock.bind(address)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                return True
    return False


def _taken_path(path: Path) -> bool:
    """Whether somebody listens at a path; raises OSError where nobody can."""
    if not path.exists():
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise OSError(errno.EACCES, f"no socket can be made in {path.parent}")
        return False
    if not stat.S_ISSOCK(path.stat().st_mode):
        raise OSError(errno.EEXIST, f"{path} exists and is no socket")
    return is_live(path)
