"""The REST and analytics surfaces of the embedded API (developer.unleashlive.com), on in-memory data."""

import itertools
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

from aiohttp import web

from proxy.demo.access import Claims
from proxy.demo.data import DEVICES, USER_ID, Collection, Dataset, Record, milliseconds, stable_id

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

CLAIMS: web.RequestKey[Claims] = web.RequestKey("claims", Mapping)
"""Where a request keeps the claims of its caller."""

_KEYS = ("class_name", "count", "device_id", "frame_number", "model_id", "session_id", "source_file_name", "timestamp")
_CLASSES = ("insulator", "crossarm", "vegetation", "conductor")
_PAGE = 50
_HOUR = 3_600_000
_MOST_ROWS = 500
_FIXED = frozenset(("id", "companyId", "teamId", "ownerId", "createdAt"))


def add_routes(router: web.UrlDispatcher, data: Dataset, clock: Callable[[], float]) -> None:
    """Serve `data` under /v1. `clock` returns wall seconds."""
    for name, records in (("job", data.job), ("task", data.task), ("mission", data.mission)):
        resource = _Resource(name, records, clock)
        router.add_get(f"/v1/{name}", resource.list_all)
        router.add_get(f"/v1/{name}/company", resource.list_all)
        router.add_get(f"/v1/{name}/team", resource.list_team)
        router.add_post(f"/v1/{name}", resource.create)
        if name == "task":
            router.add_get("/v1/task/mission", resource.list_with_mission)
            router.add_post("/v1/task/mission", resource.create)
        router.add_get(f"/v1/{name}/{{id}}", resource.get)
        router.add_put(f"/v1/{name}/{{id}}", resource.update)
        router.add_patch(f"/v1/{name}/{{id}}", resource.update)
        router.add_delete(f"/v1/{name}/{{id}}", resource.delete)
    flights = _Flights(data.flights)
    for path in ("/v1/flights", "/v1/flights/company"):
        router.add_get(path, flights.company)
    router.add_get("/v1/flights/team", flights.team)
    router.add_get("/v1/analytics/version", _answering("1.0.1"))
    router.add_get("/v1/analytics/devices", _answering(list(DEVICES)))
    router.add_get("/v1/analytics/sessions", _answering([str(flight["createdAt"]) for flight in data.flights.values()]))
    router.add_get("/v1/analytics/tableau/{device}/{start}/{end}/{page}", _tableau)
    router.add_get("/v1/analytics/tableau/{rest:.*}", _tableau)
    router.add_get("/v1/analytics/{device}/{start}/{end}/{page}", _analytics)


class _Resource:
    """One collection. A caller sees the records of the own company, and may change them."""

    def __init__(self, name: str, records: Collection, clock: Callable[[], float]) -> None:
        self._name = name
        self._records = records
        self._clock = clock
        self._numbers = itertools.count(1)

    async def list_all(self, request: web.Request) -> web.Response:
        return web.json_response(list(self._visible(request).values()))

    async def list_team(self, request: web.Request) -> web.Response:
        team = request[CLAIMS].get("custom:teamId")
        return web.json_response([r for r in self._visible(request).values() if r["teamId"] == team])

    async def list_with_mission(self, request: web.Request) -> web.Response:
        return web.json_response([r for r in self._visible(request).values() if r.get("missionId")])

    async def get(self, request: web.Request) -> web.Response:
        return web.json_response(self._one(request))

    async def create(self, request: web.Request) -> web.Response:
        body, claims, now = await _object(request), request[CLAIMS], int(self._clock() * 1000)
        record = {
            **body,
            "id": stable_id(f"{self._name}:new:{next(self._numbers)}"),
            "companyId": claims.get("custom:companyId"),
            "teamId": claims.get("custom:teamId"),
            "ownerId": claims.get("sub", USER_ID),
            "createdAt": now,
            "updatedAt": now,
        }
        self._records[record["id"]] = record
        return web.json_response(record)

    async def update(self, request: web.Request) -> web.Response:
        record, body = self._one(request), await _object(request)
        record.update({key: value for key, value in body.items() if key not in _FIXED})
        record["updatedAt"] = int(self._clock() * 1000)
        return web.json_response(record)

    async def delete(self, request: web.Request) -> web.Response:
        record = self._one(request)
        del self._records[record["id"]]
        return web.json_response({"id": record["id"]})

    def _visible(self, request: web.Request) -> Collection:
        company = request[CLAIMS].get("custom:companyId")
        return {key: record for key, record in self._records.items() if record["companyId"] == company}

    def _one(self, request: web.Request) -> Record:
        record = self._visible(request).get(request.match_info["id"])
        if record is None:
            raise web.HTTPNotFound
        return record


class _Flights:
    def __init__(self, flights: Collection) -> None:
        self._flights = flights

    async def company(self, request: web.Request) -> web.Response:
        return self._page(request, "companyId", "custom:companyId")

    async def team(self, request: web.Request) -> web.Response:
        return self._page(request, "teamId", "custom:teamId")

    def _page(self, request: web.Request, key: str, claim: str) -> web.Response:
        start, end = _time(request, "dateFrom", 0), _time(request, "dateTo", 2**63)
        owner = request[CLAIMS].get(claim)
        items = [f for f in self._flights.values() if f[key] == owner and start <= f["createdAt"] <= end]
        return web.json_response({"items": items})


def _time(request: web.Request, name: str, default: int) -> int:
    """A time in the query: milliseconds, or an ISO 8601 date."""
    value = request.query.get(name)
    if value is None:
        return default
    try:
        return int(value) if value.isdecimal() else milliseconds(value)
    except ValueError:
        raise web.HTTPBadRequest(reason=f"{name} is neither milliseconds nor a date") from None


async def _object(request: web.Request) -> Record:
    try:
        body = json.loads(await request.read())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(reason="The body is not a JSON object")
    return body


def _answering(value: Any) -> Handler:
    async def handler(_request: web.Request) -> web.Response:
        return web.json_response(value)

    return handler


async def _analytics(request: web.Request) -> web.Response:
    rows, pages = _detections(request.match_info)
    return web.json_response({"keys": _KEYS, "total_num_pages": pages, "data": rows})


async def _tableau(request: web.Request) -> web.Response:
    rows, _pages = _detections(request.match_info)
    return web.json_response([dict(zip(_KEYS, row, strict=True)) for row in rows])


def _detections(path: Mapping[str, str]) -> tuple[list[tuple[Any, ...]], int]:
    """One page of detections, one an hour of the time asked for, and how many pages there are."""
    try:
        start, end, page = int(path.get("start", "0")), int(path.get("end", "-1")), int(path.get("page", "1"))
    except ValueError:
        raise web.HTTPBadRequest(reason="The times and the page must be numbers") from None
    device = path.get("device", DEVICES[0])
    count = min(_MOST_ROWS, max(0, (end - start) // _HOUR + 1)) if device in DEVICES else 0
    rows = [_detection(device, start + hour * _HOUR, hour) for hour in range(count)]
    return rows[max(0, page - 1) * _PAGE : max(0, page) * _PAGE], max(1, -(-count // _PAGE))


def _detection(device: str, at: int, number: int) -> tuple[Any, ...]:
    seen = datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    kind = _CLASSES[number % len(_CLASSES)]
    return kind, 1 + number % 5, device, 25 * number + 1, "powerline-defects", str(at), f"{device}-{at}.mp4", seen
