"""Sample data of the embedded API: an Australian inspection company, its jobs, flights and media.

Ids are derived from names, so that they are the same in every run. Times are in milliseconds, as the API has them.
"""

import struct
import uuid
import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from proxy.demo.accounts import COMPANY_ID, IDENTITY_ID, TEAM_ID, User

Record: TypeAlias = dict[str, Any]
Collection: TypeAlias = dict[str, Record]

OTHER_TEAM_ID = "c4b7f1a2-6d58-4e93-8a0f-3b2c1d9e8f76"
USERNAME = "pilot@southerngrid.example"
USER_ID = "7e57d004-2b97-4e7a-8f2d-5c1b9a0e3d46"
FOLDER = "application/vnd.unleashlive.folder"

_TEAMS = {TEAM_ID: "Southern Grid Aerial", OTHER_TEAM_ID: "Western Renewables"}


class _Site(NamedTuple):
    title: str
    place: str
    lat: float
    long: float
    flown: str
    team: str


_SITES = (
    _Site("Transmission line 94K", "Dubbo to Wellington", -32.2569, 148.6011, "2025-11-04T08:12:31+11:00", TEAM_ID),
    _Site("Solar farm thermal survey", "Darlington Point", -34.5693, 146.0001, "2025-11-06T09:40:05+11:00", TEAM_ID),
    _Site("Harbour bridge pylon check", "Sydney", -33.8523, 151.2108, "2025-11-11T06:55:48+11:00", TEAM_ID),
    _Site("Telecom tower audit", "Broken Hill", -31.9505, 141.4678, "2025-11-13T10:21:17+10:30", TEAM_ID),
    _Site("Wind turbine blades", "Macarthur", -38.0494, 142.1900, "2025-11-18T07:33:59+11:00", OTHER_TEAM_ID),
    _Site(
        "Gas pipeline corridor", "Dampier to Bunbury", -20.6667, 116.7083, "2025-11-20T08:05:12+08:00", OTHER_TEAM_ID
    ),
)
_STATUSES = ("DONE", "DONE", "IN_PROGRESS", "TODO", "IN_PROGRESS", "TODO")
_PILOTS = ("Mia Nguyen", "Jack Thompson")
DEVICES = ("Wb8f1c2d31378ce0", "W022a7be5c35bb72")


@dataclass(frozen=True)
class Dataset:
    """Everything that the API serves and changes, by id; `files` by their path on the CDN."""

    job: Collection
    task: Collection
    mission: Collection
    flights: Collection
    media: Collection
    files: dict[str, bytes]


def sample_user(password: str) -> User:
    """The user whose company and team own the sample data."""
    return User(username=USER_ID, password=password, email=USERNAME, sub=USER_ID)


def stable_id(name: str) -> str:
    """The same UUID for the same name, always."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:ul-proxy:demo:{name}"))


def milliseconds(iso: str) -> int:
    """An ISO 8601 time as milliseconds since 1970."""
    return int(datetime.fromisoformat(iso).timestamp() * 1000)


def sample() -> Dataset:
    """A fresh copy of the sample data."""
    data = Dataset({}, {}, {}, {}, {}, {})
    for number, site in enumerate(_SITES):
        _add_site(data, number, site)
    return data


def _add_site(data: Dataset, number: int, site: _Site) -> None:
    title, place, lat, long, at, team = site
    flown = milliseconds(at)
    common = {"companyId": COMPANY_ID, "teamId": team, "ownerId": USER_ID, "createdAt": flown, "updatedAt": flown}
    job, task, mission, flight = (stable_id(f"{kind}:{title}") for kind in ("job", "task", "mission", "flight"))
    status = _STATUSES[number]
    data.job[job] = {
        "id": job,
        "title": f"{title}, {place}",
        "description": f"Drone inspection at {place}",
        "status": status,
        "userIds": [USER_ID],
        "assignedId": USER_ID,
        **common,
    }
    data.mission[mission] = {
        "id": mission,
        "name": f"{title}: waypoints",
        "taskId": task,
        "waypoints": [
            {"lat": round(lat + step * 0.0004, 6), "long": round(long + step * 0.0007, 6), "alt": 60 + 5 * step}
            for step in range(4)
        ],
        **common,
    }
    data.task[task] = {
        "id": task,
        "jobId": job,
        "missionId": mission,
        "title": f"Fly {title.lower()}",
        "type": "FLIGHT_REQUEST",
        "status": status,
        "assignedId": USER_ID,
        "context": {"geojson": _square(lat, long)},
        **common,
    }
    log = f"DJIFlightRecord_{at[:10]}_{number + 1:03}.txt"
    log_path = f"output/{flight}/{log}"
    data.flights[flight] = {
        "id": flight,
        "name": log,
        "s3Path": log_path,
        "teamName": _TEAMS[team],
        "deviceId": DEVICES[number % 2],
        "pilotName": _PILOTS[number % 2],
        "version": "djiv5",
        "flightStartDate": at,
        "flightDuration": str(900 + 37 * number),
        "flightDistance": str(2400 + 310 * number),
        "takeOffLocation": {"lat": lat, "long": long},
        "droneName": "Mavic 3 Enterprise",
        "hasComments": False,
        "missionIds": [mission],
        "taskIds": [task],
        "jobIds": [job],
        **common,
    }
    data.files[f"/flights-cdn/{log_path}"] = _flight_log(lat, long)
    _add_media(data, site)


def _add_media(data: Dataset, site: _Site) -> None:
    title, _place, lat, long, at, team = site
    flown = milliseconds(at)
    folder = stable_id(f"folder:{title}")
    common = {"teamId": team, "ownerId": USER_ID, "updatedAt": flown, "tags": "inspection"}
    data.media[folder] = {
        **common,
        "id": folder,
        "name": title,
        "type": "D",
        "mimeType": FOLDER,
        "parentId": team,
        "location": team,
        "createdAt": flown,
        "metadata": {},
    }
    for shot in range(3):
        name = f"DJI_{shot + 1:04}_V.png"
        item = stable_id(f"media:{title}:{name}")
        content = _picture(shot)
        path = f"{IDENTITY_ID}/{item}/{name}"
        data.media[item] = {
            **common,
            "id": item,
            "name": name,
            "type": "I",
            "mimeType": "image/png",
            "parentId": folder,
            "location": f"{team}/{folder}",
            "createdAt": flown + 2000 * (shot + 1),
            "s3Path": path,
            "metadata": {
                "size": len(content),
                "make": "DJI",
                "model": "M3E",
                "width": _WIDTH,
                "height": _HEIGHT,
                "gpslat": round(lat + shot * 0.0004, 6),
                "gpslng": round(long + shot * 0.0007, 6),
                "gpsalt": 60.0,
                "isPanoramic": False,
            },
        }
        data.files[f"/library-cdn/{path}"] = content


def _square(lat: float, long: float, half: float = 0.002) -> Record:
    west, east, south, north = (round(edge, 6) for edge in (long - half, long + half, lat - half, lat + half))
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    return {"type": "FeatureCollection", "features": [feature]}


def _flight_log(lat: float, long: float) -> bytes:
    rows = (f"{t},{lat + t * 1e-5:.6f},{long + t * 2e-5:.6f},{min(60, 2 * t)}.0" for t in range(120))
    return "\n".join(("time_s,latitude,longitude,altitude_m", *rows, "")).encode()


_WIDTH, _HEIGHT = 64, 48


def _picture(shade: int) -> bytes:
    """A small PNG: a gradient from sky to ground, different for each `shade`."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + bytes((90 + 2 * y, 150 - y, 200 - 3 * y - 15 * shade)) * _WIDTH for y in range(_HEIGHT))
    header = struct.pack(">IIBBBBB", _WIDTH, _HEIGHT, 8, 2, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, body) for kind, body in parts)
