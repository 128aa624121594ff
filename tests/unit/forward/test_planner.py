"""Plans: what becomes of a request, as far as its head says."""

import pytest
from pydantic import SecretStr
from support.kinds import Auth

from proxy.errors import (
    BadRequest,
    ClientTokenRequired,
    NoRoute,
    OriginNotAllowed,
    ProxyError,
    ReadOnly,
    UnknownProfile,
)
from proxy.forward.plan import ForwardPlan, OwnPlan, Plan, PreflightPlan, RefusedPlan
from proxy.forward.planner import Planner
from proxy.forward.policy import Policy
from proxy.forward.route import Route
from proxy.forward.routes import RouteTable
from proxy.http.address import Upstream
from proxy.http.grammar import RequestHead, parse_request
from proxy.identity.credentials import NO_SOURCES, Credentials
from proxy.identity.profile import CognitoPool, Profile

POOL = CognitoPool("ap-southeast-2", "ap-southeast-2_Test", "client")
PROFILES = {
    "default": Profile("default", POOL, personal_access_token=SecretStr("pat")),
    "keyed": Profile("keyed", POOL, api_key=SecretStr("key")),
}
API = Upstream.parse("https://api.example/base")
ROUTES = RouteTable((), (Route("/graphql", API, Auth.GRAPHQL, graphql=True), Route("/v1", API, Auth.API_KEY)))
APP = "https://app.example"
POLICY = Policy(allowed_origins=frozenset((APP,)))


def head(line: str, *fields: str) -> RequestHead:
    raw = "\r\n".join([f"{line} HTTP/1.1", "Host: localhost", *fields, "", ""]).encode()
    return parse_request(raw, 0, len(raw))


def planner(policy: Policy = POLICY, *, own_alone: bool = False) -> Planner:
    return Planner(policy, ROUTES, Credentials(PROFILES, NO_SOURCES), own_alone=own_alone)


def planned(line: str, *fields: str, policy: Policy = POLICY) -> Plan:
    return planner(policy).plan(head(line, *fields), secure=False)


def test_a_preflight() -> None:
    """A browser's question is answered at once; an OPTIONS request that is none goes its way."""
    plan = planned("OPTIONS /v1/job?a=b", f"Origin: {APP}", "Access-Control-Request-Method: PUT")
    assert isinstance(plan, PreflightPlan)
    assert (plan.path, plan.response.status) == ("/v1/job", 204)
    assert isinstance(planned("OPTIONS /v1/job"), ForwardPlan)


def test_a_request_about_the_proxy() -> None:
    """It is not forwarded, whichever profile it is about."""
    plan = planned("GET /@work/-/status?a=b")
    assert isinstance(plan, OwnPlan)
    assert (plan.path, plan.profile, plan.endpoint) == ("/@work/-/status", "work", "/-/status")


def test_a_request_for_an_upstream() -> None:
    """The plan has all that goes upstream but for the credential and the request's id."""
    plan = planned("GET /@keyed/v1/job?a=b", "x-api-key: mine", "Accept: c", "X-Request-Id: caller-1")
    assert isinstance(plan, ForwardPlan)
    assert (plan.path, plan.profile, plan.prefix, plan.query) == ("/@keyed/v1/job", "keyed", "/@keyed", "a=b")
    assert (plan.admission.request_id, plan.admission.numbered) == ("caller-1", True)
    proof = plan.credential.at_hand()
    assert proof is not None
    assert plan.head(proof, b"X: 1\r\n").split(b"\r\n") == [
        b"GET /base/job?a=b HTTP/1.1",
        b"Host: api.example",
        b"Accept: c",
        b"X-Request-Id: caller-1",
        b"Via: 1.1 ul-proxy",
        b"x-api-key: key",
        b"X: 1",
        b"",
        b"",
    ]


@pytest.mark.parametrize(
    ("line", "field", "error", "graphql"),
    [
        ("GET /v1/job", "X-UL-Proxy-Profile: other", UnknownProfile, False),
        ("GET /@other/graphql", "A: b", UnknownProfile, True),
        ("DELETE /v1/job", "A: b", ReadOnly, False),
        ("PUT /graphql", "A: b", ReadOnly, True),
    ],
)
def test_a_request_that_must_not_take_its_route(line: str, field: str, error: type[ProxyError], graphql: bool) -> None:
    """It is refused in the form of its route, which the plan tells."""
    plan = planned(line, field, policy=Policy(read_only=True))
    assert isinstance(plan, RefusedPlan)
    assert (type(plan.error), plan.route.graphql) == (error, graphql)


@pytest.mark.parametrize(("line", "judged"), [("POST /graphql", True), ("GET /graphql", True), ("GET /v1/job", False)])
def test_read_only(line: str, judged: bool) -> None:
    """In read-only mode the document of a GraphQL request is still to be judged; otherwise none is."""
    for read_only in (True, False):
        plan = planned(line, policy=Policy(read_only=read_only))
        assert isinstance(plan, ForwardPlan)
        assert plan.reads_document is (judged and read_only)


@pytest.mark.parametrize(
    ("line", "field", "error"),
    [
        ("GET /v1/job", "X-UL-Proxy-Token: wrong", ClientTokenRequired),
        ("GET /v1/job", "Origin: https://other.example", OriginNotAllowed),
        ("TRACE /v1/job", "A: b", BadRequest),
    ],
)
def test_a_caller_who_is_not_let_in(line: str, field: str, error: type[ProxyError]) -> None:
    """There is no plan for whatever the guards refuse."""
    with pytest.raises(error):
        planned(line, field, policy=Policy(client_token=SecretStr("right")))


def test_own_endpoints_alone() -> None:
    """Where only the proxy's own endpoints are, no other request has a plan."""
    admin = planner(own_alone=True)
    assert isinstance(admin.plan(head("GET /-/live"), secure=False), OwnPlan)
    with pytest.raises(NoRoute):
        admin.plan(head("GET /v1/job"), secure=False)


def test_plans_are_remembered() -> None:
    """A head that is repeated has the same plan; heads that differ in the target alone share their field lines."""
    one = planner()
    first = one.plan(head("GET /v1/a"), secure=False)
    assert one.plan(head("GET /v1/a"), secure=False) is first
    other = one.plan(head("GET /v1/b"), secure=False)
    assert isinstance(first, ForwardPlan)
    assert isinstance(other, ForwardPlan)
    assert other is not first
    assert other.fields is first.fields
