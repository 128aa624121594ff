"""Which requests are let in, and which are forwarded. Pure verdicts: a refusal is a CallerError.

For one request, in this order: `check_method`, `preflight` for OPTIONS, `check_authority` for an absolute-form target,
`admit`; and for what is not the proxy's own, `readings`, `Permissions.check`, `check_route` and, in read-only mode,
`check_read_only`.
"""

from proxy.forward.guard.admission import Admitted, admit, refusal_fields
from proxy.forward.guard.hosts import check_authority, check_host, host_name
from proxy.forward.guard.origins import check_origin, is_cors_field, parse_origin, preflight
from proxy.forward.guard.permission import Pattern, Permissions, check_read_only
from proxy.forward.guard.targets import OWN_PATHS, check_method, check_route, readings

__all__ = [
    "OWN_PATHS",
    "Admitted",
    "Pattern",
    "Permissions",
    "admit",
    "check_authority",
    "check_host",
    "check_method",
    "check_origin",
    "check_read_only",
    "check_route",
    "host_name",
    "is_cors_field",
    "parse_origin",
    "preflight",
    "readings",
    "refusal_fields",
]
