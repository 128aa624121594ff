"""The embedded Unleash Live API on a real socket, its tokens from the embedded pool."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import pytest
from yarl import URL

from proxy.demo import data, operations
from proxy.demo.accounts import TEAM_ID, User
from proxy.demo.api import API_KEY, EmbeddedApi
from proxy.demo.cognito import EmbeddedCognito
from proxy.demo.signer import Signer

PASSWORD = "correct horse"
START = 1_800_000_000.0
PAT = "ul_pat_0123456789"
SIGNER = Signer()
TOKEN_HEADER = "X-Amz-Cognito-Security-Token"


@dataclass
class Answered:
    status: int
    body: Any
    headers: dict[str, str]


class Client:
    """A caller with a valid ID token, which it sends only when told to."""

    def __init__(self) -> None:
        self.now = START
        self.cognito = EmbeddedCognito(users=[data.sample_user(PASSWORD)], clock=self.clock, signer=SIGNER)
        self.api = EmbeddedApi(self.cognito.verify, personal_access_token=PAT, clock=self.clock)
        self.token = self.sign_in()["IdToken"]
        self.session: aiohttp.ClientSession
        self.url = ""

    def clock(self) -> float:
        return self.now

    def sign_in(self, username: str = data.USERNAME) -> dict[str, Any]:
        """The tokens of a sign-in, straight from the pool."""
        params = {
            "ClientId": self.cognito.pool.config.client_id,
            "AuthFlow": "USER_PASSWORD_AUTH",
            "AuthParameters": {"USERNAME": username, "PASSWORD": PASSWORD},
        }
        result: dict[str, Any] = operations.call(self.cognito.pool, "InitiateAuth", params)["AuthenticationResult"]
        return result

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answered:
        return await self.send(method, path, None if body is None else json.dumps(body).encode(), **headers)

    async def send(self, method: str, path: str, body: bytes | None, **headers: str) -> Answered:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        url = URL(self.url + path, encoded=True)
        async with self.session.request(method, url, data=body, headers=fields) as response:
            content = await response.read()
            is_json = response.content_type == "application/json" and content
            return Answered(response.status, json.loads(content) if is_json else content, dict(response.headers))

    async def rest(self, method: str, path: str, body: Any = None) -> Answered:
        return await self.call(method, path, body, x_amz_cognito_security_token=self.token)

    async def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        body = {"query": query, "variables": variables}
        answered = await self.call("POST", "/graphql", body, authorization=self.token)
        assert answered.status == 200
        result: dict[str, Any] = answered.body
        return result


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    made = Client()
    async with made.api.running() as url, aiohttp.ClientSession() as session:
        made.url, made.session = url, session
        yield made


LIST = """
query ($location: String, $limit: Int, $type: String, $next: NextTokenInput, $sort: Sort) {
  list(sort: $sort, location: $location, limit: $limit, type: $type, nextToken: $next) {
    items { id name type location createdAt mimeType s3Path metadata { size gpslat isPanoramic } }
    nextToken { pk sk createdAt }
  }
}
"""


class TestMediaDrive:
    async def test_lists_the_team_drive(self, client: Client) -> None:
        """Without a location the folders of the caller's own team are listed, newest first."""
        page = (await client.graphql(LIST))["data"]["list"]
        assert [item["name"] for item in page["items"]] == [
            "Telecom tower audit",
            "Harbour bridge pylon check",
            "Solar farm thermal survey",
            "Transmission line 94K",
        ]
        assert page["nextToken"] is None

    @pytest.mark.parametrize("separator", ["/", "#"])
    async def test_lists_a_folder(self, client: Client, separator: str) -> None:
        """A folder's location and id, joined, are the location of what lies in it."""
        folder = (await client.graphql(LIST))["data"]["list"]["items"][0]
        location = f"{folder['location']}{separator}{folder['id']}"
        items = (await client.graphql(LIST, location=location, type="I", sort="asc"))["data"]["list"]["items"]
        assert [item["name"] for item in items] == ["DJI_0001_V.png", "DJI_0002_V.png", "DJI_0003_V.png"]
        assert items[0]["metadata"]["gpslat"] == -31.9505
        assert (await client.graphql(LIST, location=location, type="V"))["data"]["list"]["items"] == []

    async def test_pages(self, client: Client) -> None:
        """Handing the next token back leads through all pages, and the last one has none."""
        names, following = [], None
        for _ in range(2):
            page = (await client.graphql(LIST, limit=2, next=following))["data"]["list"]
            names += [item["name"] for item in page["items"]]
            following = page["nextToken"]
        assert len(set(names)) == 4
        assert following is None

    async def test_get(self, client: Client) -> None:
        """An item is found by its id; another team's item, and one that does not exist, are null."""
        query = "query ($id: String!) { get(item: {id: $id}) { id name teamId } }"
        mine = data.stable_id("folder:Transmission line 94K")
        assert (await client.graphql(query, id=mine))["data"]["get"]["teamId"] == TEAM_ID
        for other in (data.stable_id("folder:Wind turbine blades"), "none"):
            assert (await client.graphql(query, id=other)) == {"data": {"get": None}}

    async def test_rename_move_delete(self, client: Client) -> None:
        """Mutations change what later queries see, and a folder takes along what lies in it."""
        tower, bridge = (
            data.stable_id(f"folder:{name}") for name in ("Telecom tower audit", "Harbour bridge pylon check")
        )
        await client.graphql(f'mutation {{ rename(item: {{id: "{tower}"}}, newName: "Tower") {{ id }} }}')
        move = f'move(moveItems: [{{id: "{tower}"}}], to: {{id: "{bridge}"}}) {{ id name location parentId }}'
        moved = await client.graphql(f"mutation {{ {move} }}")
        assert moved["data"]["move"] == [
            {"id": tower, "name": "Tower", "location": f"{TEAM_ID}/{bridge}", "parentId": bridge}
        ]
        inside = f"{TEAM_ID}/{bridge}/{tower}"
        assert len((await client.graphql(LIST, location=inside))["data"]["list"]["items"]) == 3
        deleted = await client.graphql(
            f'mutation {{ delete(deleteItems: [{{id: "{bridge}"}}]) {{ deleteItems {{ id }} ownerId }} }}'
        )
        assert deleted["data"]["delete"]["deleteItems"] == [{"id": bridge}]
        assert (await client.graphql(LIST, location=inside))["data"]["list"]["items"] == []
        assert len((await client.graphql(LIST))["data"]["list"]["items"]) == 2

    async def test_moves_that_make_no_sense(self, client: Client) -> None:
        """Nothing moves into itself, into a file or to where nothing is."""
        folder = data.stable_id("folder:Telecom tower audit")
        photo = data.stable_id("media:Telecom tower audit:DJI_0001_V.png")
        move = "mutation ($id: String!, $to: String!) { move(moveItems: [{id: $id}], to: {id: $to}) { id } }"
        for to, kind in (
            (folder, "BadRequestException"),
            (photo, "BadRequestException"),
            ("none", "NotFoundException"),
        ):
            answer = await client.graphql(move, id=folder, to=to)
            assert answer["errors"][0]["errorType"] == kind
        assert (await client.graphql(move, id=photo, to=TEAM_ID))["data"]["move"] == [{"id": photo}]

    async def test_wrong_documents(self, client: Client) -> None:
        """A document that does not fit the schema is answered with errors, one that is none with 400."""
        assert (await client.graphql("{ secrets }"))["errors"][0]["errorType"] == "ValidationError"
        assert (await client.graphql("{"))["errors"]
        for body in (b"[]", b'{"query": 1}', b"{"):
            answered = await client.send("POST", "/graphql", body, authorization=client.token)
            assert answered.status == 400
            assert answered.body["errors"][0]["errorType"] == "MalformedHttpRequestException"


class TestRest:
    async def test_job_lives_and_dies(self, client: Client) -> None:
        """A job can be created, read, changed and deleted."""
        created = await client.rest("POST", "/v1/job", {"title": "Roof survey", "id": "mine"})
        job = created.body
        assert (created.status, job["title"], job["createdAt"]) == (200, "Roof survey", START * 1000)
        assert job["id"] != "mine"
        client.now += 5
        for method, status in (("PUT", "IN_PROGRESS"), ("PATCH", "DONE")):
            changed = await client.rest(method, f"/v1/job/{job['id']}", {"status": status, "companyId": "other"})
            assert changed.body == {**job, "status": status, "updatedAt": (START + 5) * 1000}
        assert (await client.rest("GET", f"/v1/job/{job['id']}")).body == changed.body
        assert (await client.rest("DELETE", f"/v1/job/{job['id']}")).body == {"id": job["id"]}
        assert (await client.rest("GET", f"/v1/job/{job['id']}")).status == 404

    @pytest.mark.parametrize(
        ("path", "count"),
        [
            ("/v1/job", 6),
            ("/v1/job/team", 4),
            ("/v1/task", 6),
            ("/v1/task/team", 4),
            ("/v1/task/company", 6),
            ("/v1/task/mission", 6),
            ("/v1/mission", 6),
        ],
    )
    async def test_lists(self, client: Client, path: str, count: int) -> None:
        """Lists hold the records of the caller's company, or of the team alone."""
        answered = await client.rest("GET", path)
        assert (answered.status, len(answered.body)) == (200, count)

    @pytest.mark.parametrize(
        ("path", "count"),
        [
            ("/v1/flights", 6),
            ("/v1/flights/company", 6),
            ("/v1/flights/team", 4),
            (f"/v1/flights/company?dateFrom={data.milliseconds('2025-11-12T00:00:00+11:00')}", 3),
            ("/v1/flights/company?dateFrom=2025-11-12&dateTo=2025-11-19", 2),
        ],
    )
    async def test_flights(self, client: Client, path: str, count: int) -> None:
        """Flight logs come under `items`, and can be bounded in time."""
        answered = await client.rest("GET", path)
        assert (answered.status, len(answered.body["items"])) == (200, count)

    async def test_other_companies_see_nothing(self, client: Client) -> None:
        """Somebody of another company sees none of it."""
        stranger = User("stranger", PASSWORD, attributes={"custom:companyId": "x", "custom:teamId": "y"})
        client.cognito.pool.accounts.users.append(stranger)
        client.token = client.sign_in("stranger")["IdToken"]
        assert (await client.rest("GET", "/v1/job")).body == []
        job = data.stable_id("job:Transmission line 94K")
        assert (await client.rest("DELETE", f"/v1/job/{job}")).status == 404

    async def test_wrong_requests(self, client: Client) -> None:
        """Unknown paths, methods and bodies are refused in JSON."""
        for method, path, body, status in (
            ("GET", "/v1/nothing", None, 404),
            ("DELETE", "/v1/flights", None, 405),
            ("POST", "/v1/job", [], 400),
            ("GET", "/v1/flights?dateFrom=yesterday", None, 400),
            ("GET", "/v1/analytics/Wb8f1c2d31378ce0/a/b/1", None, 400),
        ):
            answered = await client.rest(method, path, body)
            assert answered.status == status
            assert answered.body["message"]

    async def test_sample_data_is_stable(self) -> None:
        """Two copies of the sample data are equal and share nothing."""
        first, second = data.sample(), data.sample()
        assert first == second
        next(iter(first.job.values()))["title"] = "changed"
        assert first != second


class TestAnalytics:
    async def test_answers(self, client: Client) -> None:
        """The API key opens version, devices, sessions, detections and their form for Tableau."""

        async def get(path: str) -> Any:
            answered = await client.call("GET", f"/v1/analytics/{path}", x_api_key=API_KEY)
            assert answered.status == 200
            return answered.body

        assert await get("version") == "1.0.1"
        devices = await get("devices")
        assert len(await get("sessions")) == 6
        start = data.milliseconds("2025-11-04T00:00:00+11:00")
        path = f"{devices[0]}/{start}/{start + 59 * 3_600_000}"
        first, second = await get(f"{path}/1"), await get(f"{path}/2")
        assert (first["total_num_pages"], len(first["data"]), len(second["data"])) == (2, 50, 10)
        assert dict(zip(first["keys"], first["data"][0], strict=True)) == (await get(f"tableau/{path}/1"))[0]
        assert await get("tableau/anything") == []

    async def test_key_or_token(self, client: Client) -> None:
        """An ID token does instead of a key, but a wrong key is refused."""
        assert (await client.rest("GET", "/v1/analytics/version")).body == "1.0.1"
        wrong = await client.call("GET", "/v1/analytics/version", x_api_key="wrong")
        assert (wrong.status, wrong.body["message"]) == (403, "Forbidden")
        assert "x-api-key" in wrong.body["detail"]
        assert "x-api-key" in (await client.call("GET", "/v1/analytics/version")).body["detail"]
        client.api.access.api_key = "wrong"
        assert (await client.call("GET", "/v1/analytics/version", x_api_key="wrong")).status == 200


class TestFiles:
    async def test_open_to_everybody(self, client: Client) -> None:
        """Flight logs and media are served under their s3Path without any credential."""
        flight = (await client.rest("GET", "/v1/flights")).body["items"][0]
        log = await client.call("GET", f"/flights-cdn/{flight['s3Path']}")
        assert (log.status, log.headers["Content-Type"]) == (200, "text/plain")
        assert log.body.startswith(b"time_s,")
        photo = client.api.data.media[data.stable_id("media:Telecom tower audit:DJI_0001_V.png")]
        picture = await client.call("GET", f"/library-cdn/{photo['s3Path']}")
        assert (picture.status, picture.headers["Content-Type"]) == (200, "image/png")
        assert len(picture.body) == photo["metadata"]["size"]
        assert (await client.call("GET", "/library-cdn/none")).status == 404

    @pytest.mark.parametrize(
        ("wanted", "status", "part"),
        [
            ("bytes=0-5", 206, slice(0, 6)),
            ("bytes=-4", 206, slice(-4, None)),
            ("bytes=99999-", 416, slice(0, 0)),
            ("lines=1", 416, slice(0, 0)),
        ],
    )
    async def test_ranges(self, client: Client, wanted: str, status: int, part: slice) -> None:
        """A range of a file can be had."""
        path, content = next(iter(client.api.data.files.items()))
        answered = await client.call("GET", path, range=wanted)
        assert (answered.status, answered.body) == (status, content[part])


class TestAccess:
    async def test_rest_without_token(self, client: Client) -> None:
        """REST names the header that lacks, also when the token came in the GraphQL one."""
        for headers in ({}, {"authorization": client.token}):
            answered = await client.call("GET", "/v1/job", **headers)
            assert (answered.status, answered.body["message"]) == (401, "Unauthorized")
            assert TOKEN_HEADER in answered.body["detail"]

    async def test_graphql_without_token(self, client: Client) -> None:
        """GraphQL refuses in AppSync's shape, naming the header, and wants no scheme word."""
        for headers in ({}, {"x_amz_cognito_security_token": client.token}, {"authorization": f"Token {client.token}"}):
            answered = await client.call("POST", "/graphql", {"query": "{ __typename }"}, **headers)
            assert answered.status == 401
            (error,) = answered.body["errors"]
            assert error["errorType"] == "UnauthorizedException"
            assert "authorization" in error["message"]

    async def test_wrong_tokens(self, client: Client) -> None:
        """An access token, a token for another client and nonsense are refused."""
        access = client.sign_in()["AccessToken"]
        client.cognito.pool.config = replace(client.cognito.pool.config, client_id="other")
        other = client.sign_in()["IdToken"]
        client.cognito.pool.config = replace(client.cognito.pool.config, client_id="7jhe1lfkb5pvhbkicc3d14m0ej")
        for token in (access, other, "nonsense"):
            assert (await client.call("GET", "/v1/job", x_amz_cognito_security_token=token)).status == 401
            assert (await client.call("POST", "/graphql", {}, authorization=token)).status == 401

    async def test_ended_token(self, client: Client) -> None:
        """An ended token is 403 at REST and 401 at GraphQL, as the real services differ."""
        client.now += 3600
        answered = await client.rest("GET", "/v1/job")
        assert (answered.status, answered.body["message"]) == (403, "The incoming token has expired")
        assert (await client.call("POST", "/graphql", {}, authorization=client.token)).status == 401

    async def test_personal_access_token(self, client: Client) -> None:
        """A personal access token opens every surface as a Bearer token; a wrong one opens none."""
        good, wrong = f"Bearer {PAT}", "Bearer ul_pat_wrong"
        for authorization, status in ((good, 200), (wrong, 401)):
            for method, path, body in (
                ("GET", "/v1/job/team", None),
                ("GET", "/v1/analytics/version", None),
                ("POST", "/graphql", {"query": LIST}),
            ):
                answered = await client.call(method, path, body, authorization=authorization)
                assert answered.status == status
        client.api.access.personal_access_token = None
        assert (await client.call("GET", "/v1/job", authorization=good)).status == 401

    async def test_tokens_can_be_revoked(self, client: Client) -> None:
        """A token whose id is revoked, or whose claims are refused, is refused although it verifies."""
        client.api.access.revoked.add(client.cognito.verify(client.token)["jti"])
        answered = await client.rest("GET", "/v1/job")
        assert answered.status == 401
        assert "revoked" in answered.body["detail"]
        client.token = client.sign_in()["IdToken"]
        assert (await client.rest("GET", "/v1/job")).status == 200
        client.api.access.refuse = lambda claims: claims["email"] == data.USERNAME
        assert (await client.rest("GET", "/v1/job")).status == 401


class TestRecord:
    async def test_remembers_requests(self, client: Client) -> None:
        """A request is remembered as it came: method, undecoded target, every header line, length and status."""
        await client.rest("POST", "/v1/job?x=%41%20b", {"title": "ä"})
        received = client.api.received[-1]
        assert (received.method, received.target) == ("POST", "/v1/job?x=%41%20b")
        assert received.values(TOKEN_HEADER) == [client.token]
        assert received.values("authorization") == []
        assert (received.body_length, received.status) == (len(json.dumps({"title": "ä"})), 200)
        assert client.token not in repr(received)

    async def test_counts_by_route(self, client: Client) -> None:
        """Requests are counted by method and route, refused ones too."""
        await client.rest("GET", "/v1/job/none")
        await client.call("GET", "/v1/job/other")
        await client.rest("GET", "/nowhere")
        assert client.api.counts == {"GET /v1/job/{id}": 2, "GET unmatched": 1}


class TestFaults:
    async def test_refused_or_broken(self, client: Client) -> None:
        """The API can be too busy, fail, hang up before the work and hang up after it."""
        faults = client.api.faults
        faults.throttle(operation="GET /v1/job")
        assert (await client.rest("GET", "/v1/job")).status == 429
        faults.fail()
        assert (await client.rest("GET", "/v1/job")).status == 500
        for drop, count in ((faults.drop, 0), (faults.drop_answer, 1)):
            before = len(client.api.data.job)
            drop(1, "POST /v1/job")
            with pytest.raises(aiohttp.ClientError):
                await client.rest("POST", "/v1/job", {})
            assert len(client.api.data.job) == before + count
        assert (await client.rest("GET", "/v1/job")).status == 200

    async def test_hold(self, client: Client) -> None:
        """A held request is answered once it is let go."""
        gate = client.api.faults.hold("GET /v1/job")
        held = asyncio.create_task(client.rest("GET", "/v1/job"))
        await client.rest("GET", "/v1/task")
        assert not held.done()
        gate.set()
        assert (await held).status == 200
