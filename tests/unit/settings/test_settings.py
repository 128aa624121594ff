"""The settings: where they come from, what wins, in which forms, and what is said of those that cannot be used."""

import json
import os
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from support.environment import ROOT
from support.kinds import Auth

from proxy.cli.command import main
from proxy.errors import SettingsError
from proxy.forward.policy import Policy
from proxy.http.address import Bind, Upstream
from proxy.http.options import CertificateFiles
from proxy.identity.profile import AuthFlow
from proxy.settings import Leaf, Loaded, bears_colours, environment, leaves, load, serve_options
from unit.settings.samples import SAMPLES

CANARY = "c4n4ry"
LONG_CANARY = CANARY * 4
"""Long enough for a client token."""
TOTP_CANARY = "GEZDGNBVGY3TQOJQ"
OF_PROFILES = ("password", "totp_secret", "api_key", "personal_access_token")
"""Secrets that a profile has as well."""
LEAVES = {leaf.name: leaf for leaf in leaves()}
SECRETS = [name for name, leaf in LEAVES.items() if leaf.secret]


def write(path: Path, content: str | bytes, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    return path


def write_config(content: str | bytes, mode: int = 0o600) -> Path:
    return write(Path("ul-proxy.toml"), content, mode)


def toml(values: Mapping[str, str]) -> str:
    """`values`, by dotted name, as a config file."""
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())


def plain(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def value_of(loaded: Loaded, name: str) -> Any:
    return plain(loaded.value(LEAVES[name]))


def from_environment(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Loaded:
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    return load({})


def test_route_of_the_shipped_file() -> None:
    """The route that the shipped file shows works as soon as its comment signs are gone."""
    text = (ROOT / "config" / "defaults.toml").read_text("utf-8")
    before, mark, example = text.partition("# [[routes]]\n")
    assert mark
    write_config(before + mark[2:] + example.replace("\n# ", "\n").removeprefix("# "))
    (route,) = load({}).settings.routes
    assert route.path == "/staging"
    assert not load({}).warnings


# ---- precedence


FLAG, ENVIRONMENT, SECRET_FILE, CONFIG_FILE = "flag", "environment", "secret file", "file"


def sources_of(leaf: Leaf) -> list[str]:
    """From the weakest to the strongest."""
    return [CONFIG_FILE, SECRET_FILE, ENVIRONMENT] if leaf.secret else [CONFIG_FILE, ENVIRONMENT, FLAG]


PRECEDENCE = [(leaf, source) for leaf in LEAVES.values() if leaf.name in SAMPLES for source in sources_of(leaf)]


@pytest.mark.parametrize(
    ("leaf", "winner"), PRECEDENCE, ids=[f"{leaf.name} by {source}" for leaf, source in PRECEDENCE]
)
def test_precedence(leaf: Leaf, winner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flag > environment > secret file > config file > default, for every setting by itself."""
    texts = list(SAMPLES[leaf.name])
    sources = sources_of(leaf)
    flags: dict[str, Any] = {}
    for number, source in enumerate(sources[: sources.index(winner) + 1]):
        text = texts[number % len(texts)]
        if source == CONFIG_FILE:
            write_config(toml({leaf.name: text}))
        elif source == SECRET_FILE:
            monkeypatch.setenv(leaf.variable + "_FILE", str(write(Path("secret"), text + "\n")))
        elif source == ENVIRONMENT:
            monkeypatch.setenv(leaf.variable, text)
        else:
            flags[leaf.name] = text
    if leaf.name == "cognito.region":
        flags["cognito.user_pool_id"] = f"{text}_Pool"
    loaded = load(flags)
    assert value_of(loaded, leaf.name) == SAMPLES[leaf.name][text]
    assert (
        loaded.origins[leaf.name]
        == {
            CONFIG_FILE: "file ul-proxy.toml",
            SECRET_FILE: f"secret file {Path('secret').absolute()} ({leaf.variable}_FILE)",
            ENVIRONMENT: f"environment {leaf.variable}",
            FLAG: f"flag --{leaf.name.replace('.', '-').replace('_', '-')}",
        }[winner]
    )


def test_sections_merge_by_leaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """A section that several sources touch takes each of its settings from the strongest that has it."""
    write_config('[timeouts]\nconnect = "1s"\nheaders = "1s"\nidle = "1s"\nauth = "1s"')
    monkeypatch.setenv("UL_PROXY_TIMEOUTS", '{"headers": "2s", "idle": 2, "auth": "2s"}')
    monkeypatch.setenv("UL_PROXY_TIMEOUTS__IDLE", "3s")
    loaded = load({"timeouts.auth": "4s"})
    names = [f"timeouts.{name}" for name in ("drain", "connect", "headers", "idle", "auth")]
    assert [value_of(loaded, name) for name in names] == [20.0, 1.0, 2.0, 3.0, 4.0]
    assert [loaded.origins[name] for name in names] == [
        "default",
        "file ul-proxy.toml",
        "environment UL_PROXY_TIMEOUTS",
        "environment UL_PROXY_TIMEOUTS__IDLE",
        "flag --timeouts-auth",
    ]


def test_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """`UL_PROXY_X=` is how shells and compose files leave something out, so it sets nothing."""
    write_config('username = "ada"')
    loaded = from_environment(
        monkeypatch,
        UL_PROXY_USERNAME="",
        UL_PROXY_PASSWORD="",
        UL_PROXY_PASSWORD_FILE="",
        UL_PROXY_TIMEOUTS='{"idle": 2}',
        UL_PROXY_TIMEOUTS__IDLE="",
        UL_PROXY_CONFIG="",
    )
    assert value_of(loaded, "username") == "ada"
    assert value_of(loaded, "password") is None
    assert loaded.origins["timeouts.idle"] == "environment UL_PROXY_TIMEOUTS"
    assert not loaded.warnings


def test_variables_in_lower_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every variable is known in whatever case it is written, those that name files included."""
    monkeypatch.setenv("ul_proxy_config", str(write(Path("other.toml"), 'username = "ada"')))
    monkeypatch.setenv("ul_proxy_password_file", str(write(Path("secret"), CANARY)))
    loaded = from_environment(monkeypatch, ul_proxy_timeouts__idle="7s")
    assert value_of(loaded, "username") == "ada"
    assert value_of(loaded, "password") == CANARY
    assert value_of(loaded, "timeouts.idle") == 7.0
    assert loaded.origins["timeouts.idle"] == "environment ul_proxy_timeouts__idle"
    assert not loaded.warnings


# ---- the forms of a value

ROUTE = {"path": "/staging", "upstream": "https://staging.test", "auth": "rest"}
FORMS = [
    ("listen", "127.0.0.1:8080", ["127.0.0.1:8080"]),
    ("listen", "[::1]:8080", ["[::1]:8080"]),
    ("listen", "unix:/run/ul-proxy.sock", ["unix:/run/ul-proxy.sock"]),
    ("listen", "127.0.0.1:0", ["127.0.0.1:0"]),
    ("listen", "127.0.0.1:1,[::1]:1", ["127.0.0.1:1", "[::1]:1"]),
    ("listen", " 127.0.0.1:1 , unix:/s ", ["127.0.0.1:1", "unix:/s"]),
    ("listen", '["127.0.0.1:1", "[::1]:1"]', ["127.0.0.1:1", "[::1]:1"]),
    ("listen", ' [ "unix:/a,b" ]', ["unix:/a,b"]),
    ("listen", "127.0.0.1:65535", ["127.0.0.1:65535"]),
    ("allowed_hosts", "[]", []),
    ("allowed_hosts", "Proxy.Test", ["proxy.test"]),
    ("allowed_hosts", "proxy.test:8080", ["proxy.test"]),
    ("allowed_hosts", "[2001:DB8:0::1]", ["2001:db8::1"]),
    ("timeouts.idle", "5", 5.0),
    ("timeouts.idle", "5s", 5.0),
    ("timeouts.idle", " 5 s ", 5.0),
    ("timeouts.idle", "1.5s", 1.5),
    ("timeouts.idle", "500ms", 0.5),
    ("timeouts.idle", "5 m", 300.0),
    ("timeouts.idle", "1h", 3600.0),
    ("replay_limit", "0", 0),
    ("replay_limit", "1024", 1024),
    ("replay_limit", "10 B", 10),
    ("replay_limit", "64 KiB", 65536),
    ("replay_limit", "2MiB", 2 << 20),
    ("replay_limit", "1 GiB", 1 << 30),
    ("access_log", "true", True),
    ("access_log", "1", True),
    ("access_log", "off", False),
    ("access_log", "No", False),
    ("cognito.auth_flow", "password", AuthFlow.PASSWORD),
    ("upstreams.rest", "http://localhost:3000/base/", "http://localhost:3000/base/"),
]


@pytest.mark.parametrize(("name", "text", "meaning"), FORMS, ids=[f"{name}={text}" for name, text, _ in FORMS])
def test_form(name: str, text: str, meaning: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable holds text; every form that the README shows is understood."""
    assert value_of(from_environment(monkeypatch, **{LEAVES[name].variable: text}), name) == meaning


@pytest.mark.parametrize(
    ("name", "written", "meaning"),
    [
        ("listen", '["127.0.0.1:1", "unix:/a,b"]', ["127.0.0.1:1", "unix:/a,b"]),
        ("listen", '"127.0.0.1:1"', ["127.0.0.1:1"]),
        ("timeouts.idle", "5", 5.0),
        ("timeouts.idle", "2.5", 2.5),
        ("timeouts.idle", '"5 m"', 300.0),
        ("replay_limit", "1024", 1024),
        ("replay_limit", '"1 KiB"', 1024),
        ("access_log", "false", False),
        ("allowed_hosts", "[]", []),
    ],
)
def test_form_in_a_file(name: str, written: str, meaning: Any) -> None:
    """A file has TOML's own lists, numbers and booleans, and the texts that a variable may hold."""
    write_config(f"{name} = {written}")
    assert value_of(load({}), name) == meaning


@pytest.mark.parametrize("source", [CONFIG_FILE, ENVIRONMENT])
def test_routes(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Routes are tables in a file and a JSON list in a variable."""
    if source == CONFIG_FILE:
        write_config("".join(["[[routes]]\n", toml(ROUTE)]))
    else:
        monkeypatch.setenv("UL_PROXY_ROUTES", json.dumps([ROUTE]))
    (route,) = load({}).settings.routes
    assert (route.path, route.upstream, route.auth, route.header) == (*ROUTE.values(), None)


def test_section_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole section may be one variable that holds a JSON object."""
    loaded = from_environment(
        monkeypatch, UL_PROXY_COGNITO='{"region": "us-east-1", "user_pool_id": "us-east-1_A", "client_id": "c"}'
    )
    cognito = loaded.settings.cognito
    assert (cognito.region, cognito.user_pool_id, cognito.client_id) == ("us-east-1", "us-east-1_A", "c")
    assert cognito.auth_flow is AuthFlow.SRP


# ---- profiles


PROFILES = """\
username = "nobody's business"
password = "nor this"
[cognito]
client_secret = "default's own"
[profiles.Work]
username = "ada"
password = "one"
[profiles.Work.cognito]
region = "eu-west-2"
user_pool_id = "eu-west-2_A"
client_id = "w0rk"
[profiles.drone-fleet]
totp_secret = "gezd gnbv"
[profiles.empty]
"""


def test_profiles_of_a_file() -> None:
    """Each profile has what it names; its user pool is everybody's where it does not say otherwise, but no login is."""
    write_config(PROFILES)
    profiles = load({}).options().profiles
    assert list(profiles) == ["default", "Work", "drone-fleet", "empty"]
    work, fleet, empty = profiles["Work"], profiles["drone-fleet"], profiles["empty"]
    assert (work.name, work.username, plain(work.password)) == ("Work", "ada", "one")
    assert (work.pool.user_pool_id, work.pool.client_id) == ("eu-west-2_A", "w0rk")
    assert (empty.username, empty.password, plain(fleet.totp_secret)) == (None, None, "gezd gnbv")
    assert fleet.pool == empty.pool == profiles["default"].pool


def test_client_secret_is_its_clients_alone() -> None:
    """A profile with an app client of its own is not given the secret of another one."""
    write_config(PROFILES)
    profiles = load({}).options().profiles
    assert profiles["Work"].pool.client_secret is None
    assert plain(profiles["empty"].pool.client_secret) == "default's own"


@pytest.mark.parametrize(
    ("variables", "setting", "meaning"),
    [
        ({"UL_PROXY_PROFILES__WORK__USERNAME": "eve"}, "Work.username", "eve"),
        ({"ul_proxy_profiles__work__username": "eve"}, "Work.username", "eve"),
        ({"UL_PROXY_PROFILES__DRONE_FLEET__PASSWORD": "7"}, "drone-fleet.password", "7"),
        ({"UL_PROXY_PROFILES__drone-fleet__PASSWORD": "7"}, "drone-fleet.password", "7"),
        ({"UL_PROXY_PROFILES__WORK__COGNITO__CLIENT_ID": "c1"}, "Work.cognito.client_id", "c1"),
        ({"UL_PROXY_PROFILES__WORK__COGNITO": '{"client_id": "c1"}'}, "Work.cognito.client_id", "c1"),
        ({"UL_PROXY_PROFILES__WORK": '{"cognito": {"client_id": "c1"}}'}, "Work.cognito.client_id", "c1"),
        ({"UL_PROXY_PROFILES": '{"work": {"username": "eve"}}'}, "Work.username", "eve"),
        ({"UL_PROXY_PROFILES": '{"New": {"username": "eve"}}'}, "New.username", "eve"),
        ({"UL_PROXY_PROFILES__NEW": '{"username": "eve"}'}, "new.username", "eve"),
        ({"UL_PROXY_PROFILES__NEW__USERNAME": "eve"}, "new.username", "eve"),
        ({"UL_PROXY_PROFILES__A__B__USERNAME": "eve"}, "a__b.username", "eve"),
        (
            {"UL_PROXY_PROFILES": '{"work": {"username": "a"}}', "UL_PROXY_PROFILES__WORK": '{"username": "b"}'},
            "Work.username",
            "b",
        ),
        (
            {"UL_PROXY_PROFILES__WORK": '{"username": "b"}', "UL_PROXY_PROFILES__WORK__USERNAME": "c"},
            "Work.username",
            "c",
        ),
        ({"UL_PROXY_PROFILES__WORK__USERNAME": ""}, "Work.username", "ada"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_profiles_of_variables(
    variables: dict[str, str], setting: str, meaning: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables say the same of profiles as files do, the most exact one wins, and names are found however written."""
    write_config(PROFILES)
    loaded = from_environment(monkeypatch, **variables)
    (leaf,) = [leaf for leaf in loaded.leaves if leaf.name == f"profiles.{setting}"]
    assert plain(loaded.value(leaf)) == meaning
    assert not loaded.warnings
    strongest = max(variables, key=len)
    expected = f"environment {strongest}" if variables[strongest] else "file ul-proxy.toml"
    assert loaded.origins[leaf.name] == expected


@pytest.mark.parametrize("by", ["variable", "config file"])
def test_secret_file_of_a_profile(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every secret of a profile can be in a file, which alone makes the profile known; such files are told."""
    path = write(Path("secret"), "from a file\n")
    if by == "variable":
        monkeypatch.setenv("UL_PROXY_PROFILES__WORK__PASSWORD_FILE", str(path))
    else:
        write_config('[profiles.work]\npassword_file = "secret"')
    loaded = load({})
    assert plain(loaded.options().profiles["work"].password) == "from a file"
    assert loaded.secret_files == (path.absolute(),)


def test_stores_of_profiles(tmp_path: Path) -> None:
    """A relative file of sessions is beside the config file that names it; a profile may keep its session elsewhere."""
    config = write(tmp_path / "etc" / "c.toml", 'token_store = "file:s.json"\n[profiles.work]\ntoken_store = "memory"')
    options = load({}, str(config)).options()
    assert options.token_store == f"file:{tmp_path}/etc/s.json"
    assert (options.profiles["default"].token_store, options.profiles["work"].token_store) == (None, "memory")
    assert load({"token_store": "file:s.json"}).options().token_store == f"file:{tmp_path}/work/s.json"


@pytest.mark.parametrize(
    ("state", "expected"), [("", "home/.local/state"), ("/st", "/st")], ids=["by default", "by variable"]
)
def test_state_home(state: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What outlives the program is kept where the XDG base directory specification has it."""
    monkeypatch.setenv("XDG_STATE_HOME", state)
    assert load({}).options().state_home == tmp_path / expected


def test_unknown_setting_of_a_profile_in_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """What no profile has is ignored in a JSON variable no more silently than elsewhere."""
    (warning,) = from_environment(monkeypatch, UL_PROXY_PROFILES=f'{{"work": {{"usrname": "{CANARY}"}}}}').warnings
    assert warning == (
        "unknown setting profiles.work.usrname in UL_PROXY_PROFILES is ignored: did you mean profiles.work.username?"
    )


# ---- secret files


@dataclass(frozen=True, slots=True)
class Content:
    written: bytes
    read: str


@pytest.mark.parametrize("by", ["variable", "config file"])
@pytest.mark.parametrize(
    "content",
    [
        Content(b"pa ss", "pa ss"),
        Content(b"pa ss\n", "pa ss"),
        Content(b"pa ss\r\n", "pa ss"),
        Content(b"pa ss\n\n", "pa ss\n"),
        Content(b" pa ss ", " pa ss "),
        Content("♥".encode(), "♥"),
    ],
    ids=lambda content: repr(content.written),
)
def test_secret_file(content: Content, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret is its file's text without the one newline that editors add."""
    path = write(Path("secret"), content.written)
    if by == "variable":
        monkeypatch.setenv("UL_PROXY_PASSWORD_FILE", str(path))
    else:
        write_config(f'password_file = "{path}"')
    assert value_of(load({}), "password") == content.read


def test_secret_file_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~` in the name of a secret file is the home directory."""
    write(tmp_path / "home" / "key", CANARY)
    assert value_of(from_environment(monkeypatch, UL_PROXY_API_KEY_FILE="~/key"), "api_key") == CANARY


def test_variable_names_the_secret_file_before_the_config_file_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """`UL_PROXY_PASSWORD_FILE` beats `password_file`, and that beats `password` in the same file."""
    write(Path("one"), "1")
    write(Path("two"), "2")
    write_config('password = "0"\npassword_file = "one"')
    assert value_of(load({}), "password") == "1"
    assert value_of(from_environment(monkeypatch, UL_PROXY_PASSWORD_FILE="two"), "password") == "2"


def test_secret_file_beside_the_config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative name stands for a file beside the config file it is in; in a variable, for one beside the caller."""
    folder = tmp_path / "etc"
    write(folder / "key", "beside the config file")
    write(Path("key"), "beside the caller")
    config = write(folder / "my.toml", 'password_file = "key"\n[upstreams]\nca_file = "tls/ca.pem"\n')
    loaded = load({}, str(config))
    assert value_of(loaded, "password") == "beside the config file"
    assert loaded.origins["password"] == f"secret file {folder / 'key'}"
    assert serve_options(loaded.settings).ca_file == folder / "tls" / "ca.pem"
    monkeypatch.setenv("UL_PROXY_PASSWORD_FILE", "key")
    monkeypatch.setenv("UL_PROXY_UPSTREAMS__CA_FILE", "ca.pem")
    loaded = load({}, str(config))
    assert value_of(loaded, "password") == "beside the caller"
    assert serve_options(loaded.settings).ca_file == Path.cwd() / "ca.pem"


def test_certificate_files() -> None:
    """The key is looked for in the certificate's file where it has none of its own, and a key alone is refused."""
    folder = Path.cwd()
    assert load({}).options().tls is None
    assert load({"tls_cert": "c.pem"}).options().tls == CertificateFiles(folder / "c.pem", folder / "c.pem")
    both = load({"tls_cert": "c.pem", "tls_key": "k.pem"})
    assert both.options().tls == CertificateFiles(folder / "c.pem", folder / "k.pem")
    assert both.certificates == {folder / "c.pem": None, folder / "k.pem": None}
    with pytest.raises(SettingsError, match="^tls_key is set, and tls_cert is not$"):
        load({"tls_key": "k.pem"}).options()


def test_readable_key() -> None:
    """A private key that everybody can read is warned of, as secrets are; a certificate alone may be read."""
    key = Path("k.pem").absolute()
    key.write_text("")
    key.chmod(0o644)
    assert load({"tls_cert": "k.pem"}).warnings == ()
    (warning,) = load({"tls_cert": "c.pem", "tls_key": "k.pem"}).warnings
    assert warning.endswith(f": chmod 600 {key}")
    assert load({"tls_cert": "k.pem", "tls_key": "c.pem"}).warnings == ()
    key.write_text("-----BEGIN PRIVATE KEY-----")
    assert load({"tls_cert": "k.pem"}).warnings == (warning,)
    os.mkfifo("pipe.pem")
    Path("pipe.pem").chmod(0o644)
    assert load({"tls_cert": "pipe.pem"}).warnings == ()


def test_ca_file_at_home(tmp_path: Path) -> None:
    """`~` in the name of a file of certificates is the home directory, wherever the config file is."""
    write_config('[upstreams]\nca_file = "~/ca.pem"')
    assert serve_options(load({}).settings).ca_file == tmp_path / "home" / "ca.pem"


def test_secret_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a variable and its _FILE are both set, the warning says which wins and shows neither secret."""
    write(Path("secret"), f"{CANARY} in the file")
    loaded = from_environment(monkeypatch, UL_PROXY_PASSWORD=CANARY, ul_proxy_password_file="secret")
    assert value_of(loaded, "password") == CANARY
    assert loaded.warnings == (
        "UL_PROXY_PASSWORD and ul_proxy_password_file are both set: UL_PROXY_PASSWORD wins, unset the other",
    )


@pytest.mark.parametrize(
    ("prepare", "complaint"),
    [
        (lambda path: None, "cannot be read: No such file or directory"),
        (lambda path: write(path, ""), "is empty"),
        (lambda path: write(path, "\n"), "is empty"),
        (lambda path: write(path, CANARY.encode() + b"\xff"), "is not UTF-8 text"),
        (lambda path: path.mkdir(), "cannot be read: Is a directory"),
    ],
    ids=["missing", "empty", "newline", "not UTF-8", "directory"],
)
@pytest.mark.parametrize("by", ["variable", "config file"])
def test_unusable_secret_file(
    prepare: Callable[[Path], object], complaint: str, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret file that holds no secret is named, with the reason, and nothing of what it holds."""
    prepare(Path("secret"))
    if by == "variable":
        monkeypatch.setenv("UL_PROXY_PASSWORD_FILE", "secret")
    else:
        write_config('password_file = "secret"')
    refused(f"password_file: {Path('secret').absolute()} {complaint}")


def test_unreadable_secret_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret file without the right to read it is an error with that reason."""

    def deny(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setenv("UL_PROXY_PASSWORD_FILE", str(write(Path("secret"), CANARY)))
    real = Path.read_text
    # Modes mean nothing to root, who runs the tests in many a container.
    monkeypatch.setattr(
        Path, "read_text", lambda path, *a, **k: (deny if path.name == "secret" else real)(path, *a, **k)
    )
    refused(f"password_file: {Path('secret').absolute()} cannot be read: Permission denied")


@pytest.mark.parametrize(
    ("mode", "warned"), [(0o600, False), (0o400, False), (0o640, False), (0o604, True), (0o644, True)], ids=oct
)
def test_world_readable_secret_file(mode: int, warned: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that everybody on the machine can read is used, with a warning that says how to mend that."""
    monkeypatch.setenv("UL_PROXY_PASSWORD_FILE", str(write(Path("secret"), CANARY, mode)))
    loaded = load({})
    assert value_of(loaded, "password") == CANARY
    fix = f" 600 {Path('secret').absolute()}"
    assert [warning.partition("chmod")[2] for warning in loaded.warnings] == ([fix] if warned else [])


@pytest.mark.parametrize(
    ("content", "mode", "warned"),
    [
        ('password = "x"', 0o644, True),
        ('password = "x"', 0o600, False),
        ('username = "x"', 0o644, False),
    ],
)
def test_world_readable_config_file(content: str, mode: int, warned: bool) -> None:
    """A config file may be read by everybody as long as there is no secret in it."""
    write_config(content, mode)
    assert bool(load({}).warnings) == warned


# ---- names that are not known


@pytest.mark.parametrize(
    ("content", "unknown", "nearest"),
    [
        ('usernme = "x"', "usernme", "username"),
        ('passwrod = "x"', "passwrod", "password"),
        ('password_fil = "x"', "password_fil", "password_file"),
        ('[cognito]\nregoin = "x"', "cognito.regoin", "cognito.region"),
        ("[timeouts]\nconect = 1", "timeouts.conect", "timeouts.connect"),
        ("[timeout]\nconnect = 1", "timeout", "timeouts"),
        ('[profiles.work]\nusrname = "x"', "profiles.work.usrname", "profiles.work.username"),
        ('[profiles.work.cognito]\nregoin = "x"', "profiles.work.cognito.regoin", "profiles.work.cognito.region"),
        ('[profiles.work]\npassword_fil = "x"', "profiles.work.password_fil", "profiles.work.password_file"),
        ('[profile.work]\nusername = "x"', "profile", "profiles"),
        (f'[[routes]]\n{toml(ROUTE)}heder = "x"', "routes.heder", "routes.header"),
        ('[[routes]]\npth = "/a"\nupstream = "https://x.test"\nauth = "rest"', "routes.pth", "routes.path"),
    ],
    ids=lambda value: value if isinstance(value, str) and "=" not in value else "",
)
def test_unknown_key(content: str, unknown: str, nearest: str) -> None:
    """A key that no setting has is an error, and the setting that was probably meant is named."""
    write_config(content)
    error = refused(f"ul-proxy.toml: unknown setting {unknown}")
    assert error.hint == f"Did you mean {nearest}?"


def test_several_unknown_keys() -> None:
    """All keys that no setting has are told at once; where one is no slip, nobody is asked whether they meant it."""
    write_config('usernme = "x"\npasswrod = "x"')
    error = refused("ul-proxy.toml: unknown setting usernme and passwrod")
    assert error.hint == "Did you mean username and password?"
    write_config('zzz = "x"\nusernme = "x"')
    error = refused("ul-proxy.toml: unknown setting zzz and usernme")
    assert error.hint.startswith("The nearest known: ")
    assert "username. `ul-proxy config` lists all." in error.hint


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("UL_PROXY_PASWORD", "UL_PROXY_PASSWORD"),
        ("UL_PROXY_USER_NAME", "UL_PROXY_USERNAME"),
        ("UL_PROXY_PASSWORD_FLIE", "UL_PROXY_PASSWORD_FILE"),
        ("UL_PROXY_COGNITO__REGOIN", "UL_PROXY_COGNITO__REGION"),
        ("UL_PROXY_COGNITO_REGION", "UL_PROXY_COGNITO__REGION"),
        ("UL_PROXY_CONFG", "UL_PROXY_CONFIG"),
        ("ul_proxy_pasword", "UL_PROXY_PASSWORD"),
        ("UL_PROXY_XYZZY", None),
        ("UL_PROXY_PROFILES__WORK_USERNAME", None),
    ],
)
def test_unknown_variable(variable: str, meant: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that no setting has is a warning that names what was probably meant, and never its value."""
    (warning,) = from_environment(monkeypatch, **{variable: CANARY}).warnings
    expected = f"unknown variable {variable} is ignored"
    assert warning == (expected if meant is None else f"{expected}: did you mean {meant}?")


def test_unknown_key_in_a_json_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key inside a JSON variable is ignored no more silently than a variable of its own would be."""
    (warning,) = from_environment(monkeypatch, UL_PROXY_COGNITO=f'{{"regoin": "{CANARY}"}}').warnings
    assert warning == "unknown setting cognito.regoin in UL_PROXY_COGNITO is ignored: did you mean cognito.region?"


def test_known_variables_are_not_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable that sets something is called unknown, nor is one of another program."""
    for name, samples in SAMPLES.items():
        monkeypatch.setenv(LEAVES[name].variable, next(iter(samples)))
        if name in OF_PROFILES:
            monkeypatch.setenv(f"UL_PROXY_PROFILES__WORK__{name.upper()}", next(iter(samples)))
    monkeypatch.setenv("UL_PROXY_COGNITO__REGION", "ap-southeast-2")
    assert not from_environment(monkeypatch, UNLEASH_URL="x", UL_PROXYING="x").warnings


# ---- which config file


def test_config_file_search_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--config, then UL_PROXY_CONFIG, then ./ul-proxy.toml, then $XDG_CONFIG_HOME/ul-proxy/config.toml; one alone."""

    def user() -> str:
        return str(value_of(load({}), "username"))

    assert user() == "None"
    write(tmp_path / "home" / ".config" / "ul-proxy" / "config.toml", 'username = "home"\n')
    assert user() == "None"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert user() == "home"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    write(tmp_path / "xdg" / "ul-proxy" / "config.toml", 'username = "xdg"\npassword = "x"')
    assert user() == "xdg"
    write_config('username = "here"')
    assert user() == "here"
    assert value_of(load({}), "password") is None
    monkeypatch.setenv("UL_PROXY_CONFIG", str(write(tmp_path / "variable.toml", 'username = "variable"')))
    assert user() == "variable"
    flag = write(tmp_path / "flag.toml", 'username = "flag"')
    assert value_of(load({}, str(flag)), "username") == "flag"


def test_tells_which_config_file(tmp_path: Path) -> None:
    """What is known of the config file: the one in use, else where one was looked for."""
    places = (tmp_path / "work" / "ul-proxy.toml", tmp_path / "xdg" / "ul-proxy" / "config.toml")
    assert (load({}).config, load({}).searched) == (None, places)
    write_config("")
    assert load({}).config == places[0]
    assert load({}, "ul-proxy.toml").config == places[0]


@pytest.mark.parametrize("folder", ["/" + "x" * 300, "~nobody-of-this-name/config"], ids=["too long", "no such user"])
def test_unusable_search_place(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place that cannot even be looked at holds no config file: nobody asked for one there."""
    monkeypatch.setenv("XDG_CONFIG_HOME", folder)
    assert value_of(load({}), "username") is None


def test_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's arbitrary user has no home directory, and needs none."""

    def homeless(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setattr(Path, "expanduser", homeless)
    assert value_of(load({}), "username") is None


# ---- values that cannot be used


@dataclass(frozen=True, slots=True)
class Unusable:
    """Settings that must be refused, and what must be said of them."""

    id: str
    says: str
    """The beginning of the message: the setting's name, then where it came from."""
    variables: Mapping[str, str] = field(default_factory=dict)
    file: str | bytes | None = None
    flags: Mapping[str, Any] = field(default_factory=dict)
    config: str | None = None
    but: str = ""
    """Something that the message must hold besides."""


def by_variable(name: str, text: str, but: str = "") -> Unusable:
    variable = LEAVES[name].variable
    return Unusable(f"{name}={text}", f"{name} (environment {variable}): ", {variable: text}, but=but)


def by_file(name: str, written: str, but: str = "", id: str | None = None) -> Unusable:  # noqa: A002
    return Unusable(
        id or f"{name} = {written}", f"{name} (file ul-proxy.toml): ", file=f"{name} = {written}\n", but=but
    )


UNUSABLE = [
    *(by_variable("listen", text, f"{text!r} is not HOST:PORT, [IPV6]:PORT or unix:/path") for text in (
        "localhost", "localhost:", "localhost:-1", "localhost:http", "::1:8080",
        "[::1]", "[::1:8080", "::1]:8080", "[localhost]:8080", "localhost:\uff18\uff10",
    )),
    by_variable("listen", "8080", "'8080' names no host: write 127.0.0.1:8080"),
    by_variable("listen", ":9", "':9' names no host: write 127.0.0.1:9"),
    by_variable("listen", "localhost:65536", "'localhost:65536': a port is at most 65535"),
    by_variable("listen", "[::1]:123456", "'[::1]:123456': a port is at most 65535"),
    by_variable("listen", "99999", "'99999' is not HOST:PORT"),
    by_variable("listen", "unix:relative", "absolute path"),
    by_variable("listen", "unix:", "absolute path"),
    by_variable("listen", "127.0.0.1:1,,127.0.0.1:2", "''"),
    by_variable("listen", '["127.0.0.1:1"', "JSON"),
    by_variable("listen", "[]", "must not be empty"),
    by_variable("allowed_hosts", "a b", "'a b' is no host name"),
    by_variable("allowed_hosts", "https://a.test", "is no host name"),
    *(by_variable("allowed_origins", text, f"{text!r} is no origin: write scheme://host[:port]") for text in (
        "a.test", "https://", "https://a.test/", "https://a.test/x", "https://me@a.test", "https://a.test?x",
        "https://*.a.test", "https://a.test:99999", "null", "file:///x",
    )),
    by_variable("allowed_origins", "*", "'*' would let every web page use your login"),
    *(by_variable("client_token", text, "at least 16 printable ASCII characters without spaces") for text in (
        CANARY, f"{LONG_CANARY} x", f"{LONG_CANARY}\n", f"{LONG_CANARY}é", f"{LONG_CANARY}\x7f",
    )),
    by_file("client_token", "1234567890123456", "must be text", id="number for client token"),
    *(by_variable(name, text, but) for name in ("allow", "deny") for text, but in (
        ("DELETE", "'DELETE' is no pattern: write a method and a path, as in 'DELETE /v1/job/*'"),
        ("/v1/job", "is no pattern"),
        ("delete /v1/job", "a method is written in capitals"),
        ("GET /v1/**/job", "** is the last segment alone"),
        ("GET /v1/a%20b", "a path is written decoded"),
    )),
    by_variable("allow", "[]", "must not be empty"),
    by_variable("max_connections", "0", "'0' must be at least 1"),
    by_variable("max_connections", "-1", "'-1' is no whole number"),
    by_variable("max_connections", "many", "'many' is no whole number"),
    by_variable("max_connections", "1e3", "'1e3' is no whole number"),
    by_file("max_connections", "1.5", "1.5 is no whole number"),
    by_file("max_connections", "true", "true is no whole number"),
    by_file("max_connections", "0", "0 must be at least 1"),
    by_variable("timeouts.idle", "soon", "is no duration"),
    by_variable("timeouts.idle", "-1s", "is no duration"),
    by_variable("timeouts.idle", "1 day", "is no duration"),
    by_variable("timeouts.idle", "0", "'0' must be more than 0"),
    by_variable("timeouts.idle", "0 ms", "'0 ms' must be more than 0"),
    by_variable("drain_delay", "-1s", "is no duration"),
    by_file("drain_delay", "-1", "-1 must not be less than 0"),
    by_variable("replay_limit", "lots", "is no size"),
    by_variable("replay_limit", "1 MB", "is no size"),
    by_variable("replay_limit", "-1", "is no size"),
    by_variable("access_log", "maybe", "'maybe' is neither true nor false"),
    by_variable("log_format", "xml", "'xml' is none of auto, text, json"),
    by_variable("log_level", "loud", "'loud' is none of debug, info, warning, error"),
    by_variable("cognito.auth_flow", "oauth", "'oauth' is none of srp, password"),
    by_variable("cognito.region", "sydney", "'sydney' is no AWS region, such as ap-southeast-2"),
    by_variable("cognito.user_pool_id", "nonsense", "'nonsense' is no user pool's id, such as ap-southeast-2_"),
    by_variable("cognito.client_id", "a b", "'a b' is no app client's id"),
    by_variable("cognito.endpoint_url", "localhost:9000", "must begin with"),
    by_variable("upstreams.rest", "api.test", "must begin with"),
    by_variable("upstreams.rest", "https://", "names no host"),
    by_variable("upstreams.rest", "https://a.test/?q=1", "query"),
    by_variable("upstreams.rest", "https://a.test/#f", "fragment"),
    by_variable("upstreams.rest", "https://a.test:99999", "'https://a.test:99999': a port is at most 65535"),
    by_variable("upstreams.rest", "https://a.test:b", "'https://a.test:b' has no usable host and port"),
    by_variable("upstreams.rest", "https://[::1", "'https://[::1' has no usable host and port"),
    by_variable("upstreams.rest", f"https://me:{CANARY}@a.test", "password"),
    by_variable("upstreams.rest", f"me:{CANARY}@a.test", "password"),
    by_variable("upstreams.rest", f"ftp://me:{CANARY}@a.test", "password"),
    by_variable("upstreams.rest", f"https://me:{CANARY}@a.test?q", "password"),
    *(by_variable("api_key", text, "header") for text in (
        f"{CANARY}\nX: y", f" {CANARY}", f"{CANARY}\t", f"{CANARY}é", f"{CANARY}\x7f"
    )),
    by_variable("personal_access_token", f"{CANARY}\r", "header"),
    by_file("api_key", f'"{CANARY}\\nX: y"', "header", id="key with a newline in a file"),
    by_file("password", "12345", "must be text, in quotes", id="number for password"),
    by_file("password", f'["{CANARY}"]', "must be text", id="list for password"),
    by_file("password", f'{{ value = "{CANARY}" }}', "must be text", id="table for password"),
    by_file("api_key", "true", "must be text", id="boolean for key"),
    by_file("username", "5", "5 must be text, in quotes"),
    by_file("listen", "8080", "8080 is neither text nor a list"),
    by_file("listen", "[8080]", "8080 must be text"),
    by_file("access_log", "2", "2 is neither true nor false"),
    by_file("access_log", "[]", "neither true nor false"),
    by_file("log_level", "true", "true is none of debug, info, warning, error"),
    by_file("timeouts.idle", "[]", "no duration"),
    by_file("timeouts.idle", "true", "true is no duration"),
    by_file("timeouts.idle", "-1", "-1 must be more than 0"),
    by_file("timeouts.idle", "nan", "is no duration"),
    by_file("timeouts.idle", "inf", "is no duration"),
    by_file("replay_limit", "1.5", "1.5 is no size"),
    by_file("replay_limit", "-1", "-1 is no size"),
    by_file("cognito.region", "{ name = 1 }", "must be text"),
    by_file("upstreams.ca_file", "5", "5 must be text"),
    Unusable("timeouts by flag", "timeouts.idle (flag --timeouts-idle): ", flags={"timeouts.idle": "x"}),
    Unusable(
        "region inside JSON", "cognito.region (environment UL_PROXY_COGNITO): ", {"UL_PROXY_COGNITO": '{"region": 5}'}
    ),
    Unusable("section not JSON", "UL_PROXY_COGNITO is not valid JSON", {"UL_PROXY_COGNITO": f"{{{CANARY}"}),
    Unusable("section a JSON list", "UL_PROXY_COGNITO is not a JSON object", {"UL_PROXY_COGNITO": f'["{CANARY}"]'}),
    Unusable("section a JSON text", "UL_PROXY_COGNITO is not a JSON object", {"UL_PROXY_COGNITO": f'"{CANARY}"'}),
    Unusable("routes not JSON", "UL_PROXY_ROUTES is not valid JSON", {"UL_PROXY_ROUTES": f"[{CANARY}"}),
    Unusable("routes a table", "routes (environment UL_PROXY_ROUTES): ", {"UL_PROXY_ROUTES": '{"a": 1}'},
             but="is no list"),
    Unusable("routes a number", "routes (file ul-proxy.toml): ", file="routes = 5",
             but="5 is no list of tables: write [[routes]]"),
    Unusable("routes of text", "routes (file ul-proxy.toml): ", file='routes = ["/a"]', but="route 1 is no table"),
    *(
        Unusable(f"route {id_}", "routes (file ul-proxy.toml): ", file=f"[[routes]]\n{toml(ROUTE | wrong)}", but=but)
        for id_, wrong, but in [
            ("path", {"path": "relative"}, "route 1: path 'relative' must begin with /"),
            ("path with a query", {"path": "/a?b"}, "route 1: path '/a?b' must be without"),
            ("upstream", {"upstream": "nowhere"}, "route 1: upstream 'nowhere' must begin with https://"),
            ("auth", {"auth": "magic"}, "route 1: auth 'magic' is none of rest, graphql, api_key, analytics, bearer"),
            ("header", {"header": "a: b"}, "route 1: header 'a: b' is no header's name"),
            *(
                (f"path {path}", {"path": path}, f"route 1: path '{path}' must be without escapes")
                for path in ("/a%20b", "/a//b", "/a/../b", "/a;b")
            ),
            *(
                (f"header {name}", {"header": name}, f"route 1: header {name!r} cannot carry a credential: ")
                for name in (
                    "Host", "content-length", "Transfer_Encoding", "TE", "connection", "Upgrade", "keep-alive",
                    "Proxy-Authorization", "cookie", "Expect", "X-UL-Proxy-Token", "x_ul_proxy_anything",
                )
            ),
        ]
    ),
    Unusable("second route", "routes (file ul-proxy.toml): route 2 lacks auth",
             file=f'[[routes]]\n{toml(ROUTE)}[[routes]]\npath = "/b"\nupstream = "http://b.test"'),
    Unusable("route incomplete", "routes (file ul-proxy.toml): route 1 lacks upstream and auth",
             file='[[routes]]\npath = "/a"'),
    Unusable("route with more", "routes (environment UL_PROXY_ROUTES): route 1: unknown key hedder",
             {"UL_PROXY_ROUTES": json.dumps([ROUTE | {"hedder": CANARY}])}),
    Unusable("section a text", "config file ul-proxy.toml: cognito is a section", file='cognito = "x"'),
    Unusable("not TOML", "config file ul-proxy.toml is not valid TOML", file=f"password = {CANARY}\n"),
    Unusable("unclosed text", "config file ul-proxy.toml is not valid TOML", file=f'password = "{CANARY}\n'),
    Unusable("second value", "config file ul-proxy.toml is not valid TOML", file=f'a = "1" {CANARY}\n'),
    Unusable("no value", "config file ul-proxy.toml is not valid TOML", file=f'password "{CANARY}"\n'),
    Unusable(
        "not UTF-8",
        "config file ul-proxy.toml is not valid TOML: it is not UTF-8 text (at line 2)",
        file=f'a = 1\nb = "{CANARY}\xff"'.encode("latin-1"),
    ),
    Unusable("nested file", "config file ul-proxy.toml is nested too deeply", file=f"deny = {'[' * 9999}"),
    Unusable("nested in a file", "deny (file ul-proxy.toml): ", file=f"deny = {'[' * 50}{']' * 50}", but="text"),
    Unusable("nested list", "deny (environment UL_PROXY_DENY): ", {"UL_PROXY_DENY": '["a",' + "[" * 99999},
             but="not valid JSON"),
    Unusable("nested section", "a variable UL_PROXY_… holds JSON", {"UL_PROXY_COGNITO": "[" * 99999}),
    Unusable("no such config", "config file no.toml cannot be read: No such file", config="no.toml"),
    Unusable("no such user", "config file ~nobody-of-this-name/c ", config="~nobody-of-this-name/c"),
    Unusable("config a folder", "config file / cannot be read: Is a directory", {"UL_PROXY_CONFIG": "/"}),
    Unusable("no such user's secret", "password_file: /",
             {"UL_PROXY_PASSWORD_FILE": "~nobody-of-this-name/c"}),
    Unusable("NUL in a secret's path", "password_file: ", file='password_file = "a\\u0000b"'),
    Unusable("number for a secret's path", "password_file (file ul-proxy.toml): 5 must be text",
             file="password_file = 5"),
    by_variable("totp_secret", f"{CANARY}!", but="base32"),
    by_variable("token_store", "memroy", but="'memroy' is none of auto, memory, "),
    by_variable("token_store", "file:", but="file:PATH"),
    by_variable("aws_credentials_token", CANARY, but="at least 16"),
    by_variable("cognito.identity_pool_id", "nonsense", but="no identity pool's id"),
    Unusable("profile's name", "profiles: 'a b' is no profile's name", file='[profiles."a b"]\n'),
    Unusable("profile with a dot", "profiles: 'a.b' is no profile's name", file='[profiles."a.b"]\n'),
    Unusable("profile called default", "profiles: the profile default is", file="[profiles.default]\n"),
    Unusable("default by a variable", "profiles: the profile default is",
             {"UL_PROXY_PROFILES__DEFAULT__USERNAME": "x"}),
    Unusable("look-alike profiles", "the profiles a-b and A_b differ", file="[profiles.a-b]\n[profiles.A_b]\n"),
    Unusable("profiles no table", "config file ul-proxy.toml: profiles is a section", file="profiles = 5\n"),
    Unusable("profile no table", "config file ul-proxy.toml: profiles.a is a section", file="profiles.a = 5\n"),
    Unusable("profile's pool no table", "config file ul-proxy.toml: profiles.a.cognito is a section",
             file="profiles.a.cognito = 5\n"),
    Unusable("profiles no JSON", "UL_PROXY_PROFILES is not a JSON object", {"UL_PROXY_PROFILES": CANARY}),
    Unusable("profiles a JSON list", "UL_PROXY_PROFILES is not a JSON object", {"UL_PROXY_PROFILES": "[1]"}),
    Unusable("profile no JSON object", "UL_PROXY_PROFILES: a is not a JSON", {"UL_PROXY_PROFILES": '{"a": 1}'}),
    Unusable("profile no JSON", "UL_PROXY_PROFILES__A is not a JSON object", {"UL_PROXY_PROFILES__A": f"{{{CANARY}"}),
    Unusable("profile's pool no JSON", "UL_PROXY_PROFILES__A__COGNITO is not a JSON object",
             {"UL_PROXY_PROFILES__A__COGNITO": "5"}),
    Unusable("nested profiles", "UL_PROXY_PROFILES is not a JSON object", {"UL_PROXY_PROFILES": "[" * 99999}),
    Unusable("profile's secret", "profiles.a.totp_secret (file ul-proxy.toml): ",
             file=f'[profiles.a]\ntotp_secret = "{CANARY}!"\n', but="base32"),
    Unusable("profile's pool elsewhere", "profiles.a.cognito.user_pool_id 'ap-southeast-2_UnpJmDeN5' is not in",
             file='[profiles.a.cognito]\nregion = "eu-west-2"\n', but="profiles.a.cognito.region 'eu-west-2'"),
    Unusable("profile's value", "profiles.a.cognito.auth_flow (environment UL_PROXY_PROFILES__A__COGNITO__AUTH_FLOW): ",
             {"UL_PROXY_PROFILES__A__COGNITO__AUTH_FLOW": "x"}, but="srp, password"),
    Unusable("region without pool", "cognito.user_pool_id ", {"UL_PROXY_COGNITO__REGION": "eu-west-2"}, but="eu-west"),
    Unusable("pool without region", "cognito.user_pool_id ", flags={"cognito.user_pool_id": "us-east-1_A"}),
    *(
        Unusable(f"open to {where}", f"listen: {where}:80 is not loopback", flags={"listen": [f"{where}:80"]})
        for where in ("0.0.0.0", "[::]", "192.0.2.1", "proxy.test", "128.0.0.1", "[::2]")  # noqa: S104
    ),
    *(
        Unusable(f"two at {text}", f"admin_listen: {text} is in", flags={"listen": [text], "admin_listen": [text]})
        for text in ("127.0.0.1:81", "unix:/s")
    ),
    by_variable("admin_listen", "8080", "'8080' names no host: write 127.0.0.1:8080"),
    Unusable("open besides loopback", "listen: [::]:80 is not", flags={"listen": ["127.0.0.1:80", "[::]:80"]}),
]  # fmt: skip


def set_up(case: Unusable, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in case.variables.items():
        monkeypatch.setenv(name, text)
    if case.file is not None:
        write_config(case.file)


def refused(says: str, flags: Mapping[str, Any] | None = None, config: str | None = None) -> SettingsError:
    """The error that `load` raises: one sentence, and nothing secret wherever it may be shown."""
    with pytest.raises(SettingsError) as caught:
        load(flags or {}, config)
    error = caught.value
    assert says in error.detail
    assert error.hint
    shown = [str(error), repr(error), error.hint, *traceback.format_exception(error)]
    assert not [text for text in shown if CANARY in text]
    assert "\n" not in error.detail + error.hint
    return error


@pytest.mark.parametrize("case", UNUSABLE, ids=lambda case: case.id)
def test_unusable(case: Unusable, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that cannot be used is one sentence that names the setting and where it came from, without a secret."""
    set_up(case, monkeypatch)
    error = refused(case.says, case.flags, case.config)
    assert error.detail.startswith(case.says)
    assert case.but in error.detail


@pytest.mark.parametrize("case", UNUSABLE[::10], ids=lambda case: case.id)
def test_unusable_on_the_command_line(
    case: Unusable, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command says so in one line on stderr, without a secret, and returns 2."""
    set_up(case, monkeypatch)
    flags = {f"--{name.replace('.', '-').replace('_', '-')}": value for name, value in case.flags.items()}
    argv = ["config"] + (["--config", case.config] if case.config else [])
    for flag, value in flags.items():
        for text in value if isinstance(value, list) else [value]:
            argv += [flag, text]
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"ul-proxy: {case.says}")
    assert err.count("\n") == 1
    assert CANARY not in err


def test_hint_leads_to_the_help(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who gives an unusable value is shown where the forms are written down: not everybody has the README."""
    monkeypatch.setenv("UL_PROXY_LOG_LEVEL", "loud")
    assert refused("log_level").hint == "See `ul-proxy serve --help`."


@pytest.mark.parametrize("value", ["0.0.0.0:80", "[::]:80", "proxy.test:80"])
def test_listen_beyond_loopback_on_purpose(value: str) -> None:
    """Whoever says that strangers may use the login may listen anywhere."""
    assert load({"listen": [value], "allow_anonymous_clients": True}).settings.listen == [value]


@pytest.mark.parametrize("value", ["0.0.0.0:80", "[::]:80", "proxy.test:80"])
def test_listen_beyond_loopback_with_a_token(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where callers must present a token, the proxy may listen anywhere."""
    monkeypatch.setenv("UL_PROXY_CLIENT_TOKEN", LONG_CANARY)
    assert load({"listen": [value]}).settings.listen == [value]


@pytest.mark.parametrize("value", ["127.0.0.1:1", "127.8.9.10:1", "localhost:1", "LOCALHOST:1", "[::1]:1", "unix:/s"])
def test_listen_on_loopback(value: str) -> None:
    """All of 127/8, ::1, localhost and Unix sockets are this machine's own."""
    assert load({"listen": [value]}).settings.listen == [value]


def test_both_may_pick_a_port() -> None:
    """Port 0 is another one each time."""
    load({"listen": ["127.0.0.1:0"], "admin_listen": ["127.0.0.1:0"]})


def test_admin_listen_beyond_loopback() -> None:
    """What is there is for anybody, so that it needs neither a client token nor leave."""
    assert load({"admin_listen": ["0.0.0.0:80"]}).options().admin_listen == (Bind("0.0.0.0", 80),)  # noqa: S104


# ---- what the rest of the program gets


def test_secrets_are_masked() -> None:
    """No text form of the settings holds a secret."""
    secrets = dict.fromkeys(SECRETS, LONG_CANARY) | {"totp_secret": TOTP_CANARY}
    write_config(toml(secrets) + "[profiles.work]\n" + toml({name: secrets[name] for name in OF_PROFILES}))
    loaded = load({})
    options = loaded.options()
    for shown in (repr(loaded), str(loaded.settings), loaded.settings.model_dump_json(), repr(options), str(options)):
        assert CANARY not in shown
        assert TOTP_CANARY not in shown
    assert {name: value_of(loaded, name) for name in SECRETS} == secrets
    assert plain(options.profiles["work"].password) == LONG_CANARY


def test_serve_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings reach the running proxy as frozen values, every one in its place."""
    monkeypatch.setenv("UL_PROXY_ROUTES", json.dumps([ROUTE | {"path": "/staging/", "header": "X-Token"}]))
    monkeypatch.setenv("UL_PROXY_PASSWORD", CANARY)
    monkeypatch.setenv("UL_PROXY_CLIENT_TOKEN", LONG_CANARY)
    options = serve_options(
        load(
            {
                "listen": ["127.0.0.1:1", "[::1]:2", "unix:/s"],
                "admin_listen": ["0.0.0.0:3", "unix:/a"],
                "enable_stop": True,
                "inspector": False,
                "username": "ada",
                "allowed_hosts": ["a.test"],
                "allowed_origins": ["https://a.test"],
                "read_only": True,
                "allow": ["GET /**"],
                "deny": ["GET /x"],
                "max_connections": "7",
                "timeouts.drain": "3s",
                "replay_limit": "7",
                "upstreams.rest": "https://rest.test/",
                "cognito.endpoint_url": "http://localhost:9",
            }
        ).settings
    )
    assert options.listen == (Bind("127.0.0.1", 1), Bind("::1", 2), Bind(path="/s"))
    assert options.admin_listen == (Bind("0.0.0.0", 3), Bind(path="/a"))  # noqa: S104
    assert options.enable_stop
    assert not options.inspector
    assert (options.profile.username, plain(options.profile.password)) == ("ada", CANARY)
    assert options.profile.pool.endpoint_url == "http://localhost:9"
    (own,) = options.own_routes
    assert (own.path, own.auth, own.header) == ("/staging", Auth.REST, "X-Token")
    assert options.policy == Policy(
        allowed_hosts=frozenset(("a.test",)),
        allowed_origins=frozenset(("https://a.test",)),
        client_token=SecretStr(LONG_CANARY),
        read_only=True,
        allow=("GET /**",),
        deny=("GET /x",),
    )
    assert options.max_connections == 7
    assert (options.timeouts.drain, options.replay_limit) == (3.0, 7)
    routes = {route.path: (route.upstream, route.auth) for route in options.built_in_routes}
    assert routes == {
        "/graphql": (Upstream.parse("https://mediadrive-api.unleashlive.com/graphql"), Auth.GRAPHQL),
        "/v1/analytics": (Upstream.parse("https://rest.test/v1/analytics"), Auth.ANALYTICS),
        "/cdn/flights": (Upstream.parse("https://flights.unleashlive.com"), Auth.NONE),
        "/cdn/library": (Upstream.parse("https://library.unleashlive.com"), Auth.NONE),
        "": (Upstream.parse("https://rest.test"), Auth.REST),
    }


def test_many_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """How often the environment is gone through does not depend on how much of it is read."""
    looks, original = [0], environment.variables

    def variables() -> environment.Variables:
        looks[0] += 1
        return original()

    monkeypatch.setattr(environment, "variables", variables)
    counts = []
    for number in (1, 30):
        names = [f"UL_PROXY_PROFILES__P{n}__{setting}" for n in range(number) for setting in ("USERNAME", "PASSWORD")]
        looks[0] = 0
        assert len(from_environment(monkeypatch, **dict.fromkeys(names, "x")).settings.profiles) == number
        counts.append(looks[0])
    assert counts[0] == counts[1] > 0


def test_everything_that_is_wrong_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has several settings to mend hears of all of them, each with where it came from."""
    monkeypatch.setenv("UL_PROXY_MAX_CONNECTIONS", "many")
    monkeypatch.setenv("UL_PROXY_API_KEY", f"{CANARY}\nX: y")
    error = refused("log_level (flag --log-level): 'loud' is none of", {"log_level": "loud", "listen": ["nonsense"]})
    names = [part.split(" (")[0] for part in error.detail.split("; ")]
    assert names == ["listen", "max_connections", "api_key", "log_level"]
    assert "max_connections (environment UL_PROXY_MAX_CONNECTIONS)" in error.detail
    assert CANARY not in error.detail


@pytest.mark.parametrize(
    ("environment", "bears"),
    [
        ({}, True),
        ({"TERM": "xterm-256color"}, True),
        ({"NO_COLOR": ""}, True),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": "0"}, False),
        ({"TERM": "dumb"}, False),
    ],
)
def test_colours(environment: dict[str, str], bears: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR with any value, and a terminal that knows none, forbid colours."""
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert bears_colours() is bears
