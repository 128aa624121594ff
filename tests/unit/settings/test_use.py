"""No setting is declared and never used."""

import ast
from dataclasses import asdict, fields
from typing import Any, get_type_hints

import pytest
from support.environment import ROOT

from proxy.errors import SettingsError
from proxy.errors.names import variable
from proxy.forward.policy import Policy
from proxy.forward.route import Route
from proxy.http.options import CertificateFiles, OutboundProxies, OutboundProxy, Timeouts
from proxy.identity.profile import DEFAULT_PROFILE, CognitoPool, Profile
from proxy.settings import Leaf, Settings, leaves, load
from proxy.settings.options import LiveOptions, LogOptions, ServeOptions, StartOptions
from proxy.settings.profiles import leaves_of
from unit.settings.samples import SAMPLES

FROZEN = (
    StartOptions,
    LiveOptions,
    LogOptions,
    CertificateFiles,
    CognitoPool,
    OutboundProxies,
    OutboundProxy,
    Policy,
    Profile,
    Route,
    Timeouts,
)
"""What the settings become."""
BESIDE = {
    "tls_key": {"tls_cert": "/cert.pem"},
    "allow_anonymous_clients": {"listen": "0.0.0.0:1"},
    "cognito.region": {"cognito.user_pool_id": "us-gov-west-1_A"},
}
"""Other settings that one needs to have an effect."""
TABLES = {"routes": '[{"path": "/a", "upstream": "https://a.test", "auth": "none"}]', "profiles": '{"other": {}}'}
LEAVES = {leaf.name: leaf for leaf in leaves()}
EVERY = [(leaf, DEFAULT_PROFILE) for leaf in leaves()] + [(leaf, "work") for leaf in leaves_of("work")]


def built() -> dict[str, Any] | str:
    """What the program is built from as the environment is now, or why it cannot be."""
    try:
        loaded = load({})
        return asdict(loaded.options()) | asdict(loaded.log_options())
    except SettingsError as error:
        return error.detail


def test_every_setting_has_samples() -> None:
    """A new setting gets samples, which show its forms, its precedence and its effect."""
    assert SAMPLES.keys() == {leaf.name for leaf in leaves() if not leaf.tabular}


@pytest.mark.parametrize(("leaf", "profile"), EVERY, ids=[leaf.name for leaf, _ in EVERY])
def test_every_setting_changes_what_is_built(leaf: Leaf, profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The value of a setting, those of profiles too, reaches what the program is built from."""
    monkeypatch.setenv("UL_PROXY_PROFILES__WORK", "{}")
    name = leaf.name.removeprefix("profiles.work.")
    default = load({}).value(LEAVES[name])
    for other, text in BESIDE.get(name, {}).items():
        monkeypatch.setenv(variable(other, profile), text)
    before = built()
    sample = TABLES.get(name) or next(text for text, value in reversed(SAMPLES[name].items()) if value != default)
    assert built() == before
    monkeypatch.setenv(leaf.variable, sample)
    assert built() != before


def read_anywhere() -> set[str]:
    """Every attribute that a module outside the settings reads."""
    return {
        node.attr
        for path in (ROOT / "proxy").rglob("*.py")
        if path.parent.name != "settings"
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }


def test_everything_that_is_built_from_settings_is_read() -> None:
    """Each field of the frozen values is read by a module that is built from them."""
    read = read_anywhere()
    assert [
        f"{kind.__name__}.{field.name}" for kind in FROZEN for field in fields(kind) if field.name not in read
    ] == []
    assert "read_by_nobody" not in read


def test_a_field_is_of_the_start_or_live() -> None:
    """Whether a reload takes it up is said once."""
    start, live = ({field.name for field in fields(kind)} for kind in (StartOptions, LiveOptions))
    assert start.isdisjoint(live)
    assert {field.name for field in fields(ServeOptions)} == start | live


def test_what_is_handed_on_has_the_type_that_is_declared() -> None:
    """An option is what its setting is; these alone are made of it."""
    declared, options = get_type_hints(Settings), get_type_hints(ServeOptions)
    differing = {name for name in declared.keys() & options.keys() if declared[name] != options[name]}
    assert differing == {"listen", "admin_listen", "timeouts", "profiles"}
