"""The command: its help, its exit statuses, what goes to which stream, and what never goes to either."""

import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.environment import guarded_environment, is_ambient

from proxy import __version__, cli
from proxy.cli.arguments import parse
from proxy.cli.command import main
from proxy.cli.demo import commands, sandboxed_options
from proxy.cli.manual import COMMANDS
from proxy.demo.protocol import PoolConfig
from proxy.errors import SettingsError, StartError
from proxy.http.options import OutboundProxies, OutboundProxy
from proxy.settings import Group, Leaf, leaves, load, serve_options

CANARY = "c4n4ry"
TOTP_CANARY = "GEZDGNBVGY3TQOJQ"
LEAVES = {leaf.name: leaf for leaf in leaves()}
SECRETS = [leaf for leaf in LEAVES.values() if leaf.secret]
FLAGS = [leaf for leaf in LEAVES.values() if not leaf.secret and leaf.name not in ("routes", "profiles")]
# The sandbox has a login and upstreams of its own.
NOT_IN_DEMO = [leaf for leaf in FLAGS if leaf.path[0] in ("username", "cognito", "upstreams", "token_store")]
SIGNING_IN = [
    leaf
    for leaf in FLAGS
    if leaf.path[0] == "cognito"
    or leaf.name in ("username", "upstreams.ca_file", "token_store", "timeouts.auth", "log_level")
]
ASKING = [LEAVES[name] for name in ("listen", "admin_listen", "port_file", "tls_cert", "log_level")]
USED = {
    "demo": [leaf for leaf in FLAGS if leaf not in NOT_IN_DEMO],
    **dict.fromkeys(("login", "logout", "token", "credentials"), SIGNING_IN),
    **dict.fromkeys(("status", "wait", "stop"), ASKING),
    "check": [
        *(leaf for leaf in FLAGS if leaf.path[0] in ("cognito", "upstreams", "timeouts")),
        *(LEAVES[name] for name in ("listen", "username", "token_store", "log_level")),
    ],
    "completion": [],
}
"""The settings that a command has flags for, where it has not one for every setting."""
OPTIONS = {
    "login": ["--profile NAME", "--no-input"],
    "logout": ["--profile NAME"],
    "token": ["--profile NAME", "--kind {id,access}"],
    "credentials": ["--profile NAME"],
    "status": ["--json", "--url URL"],
    "wait": ["--max DURATION", "(default: 30s)", "--profile NAME", "--json", "--url URL"],
    "stop": ["--max DURATION", "(default: 30s)", "--url URL"],
    "config": ["--json"],
    "check": ["--profile NAME", "--json"],
    "completion": ["{bash,zsh,fish}"],
}
"""Flags that are no settings."""
EXAMPLES = {
    "serve": ["ul-proxy serve --listen 127.0.0.1:9000", "curl http://127.0.0.1:8080/v1/job", "Exit status: 0"],
    "demo": ["ul-proxy demo --listen 127.0.0.1:8123", "Exit status: 0"],
    "check": ["ul-proxy check --json | jq", "Exit status: 0 all is well, 1 a hop failed, 2"],
    "completion": ['eval "$(ul-proxy completion bash)"', "source <(ul-proxy completion zsh)"],
    "login": ["ul-proxy login --profile survey", "Exit status: 0 signed in, 1 not signed in"],
    "logout": ["ul-proxy logout --profile survey", "Exit status: 0"],
    "token": ["$(ul-proxy token)", "Exit status: 0"],
    "credentials": ["credential_process = ul-proxy credentials", "aws --profile unleash s3 cp", "Exit status: 0"],
    "status": ["ul-proxy status --json | jq", "Exit status: 0"],
    "wait": [
        "ul-proxy wait --max 5m",
        "HEALTHCHECK CMD",
        '"code": "login_required"',
        "Exit status: 0 ready, 1 not ready",
    ],
    "stop": ["ul-proxy stop --max 2m", "enable_stop", "SIGTERM", "Exit status: 0 it has ended, 1 it has not"],
    "config": ["ul-proxy config --json | jq", "Exit status: 0"],
}


@pytest.fixture(autouse=True)
def _bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings anywhere, and a terminal as wide as any help text, for as long as a test runs."""
    for name in [name for name in os.environ if is_ambient(name)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("COLUMNS", "1000")


def flag_of(leaf: Leaf) -> str:
    return "--" + leaf.name.replace(".", "-").replace("_", "-")


def ul_proxy(
    *argv: str, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command as a process of its own, with no settings but those given."""
    return subprocess.run(
        [sys.executable, "-m", "proxy", *argv],
        env=guarded_environment(XDG_CONFIG_HOME="/nonexistent", **(environment or {})),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def ended(*argv: str) -> int:
    """The exit status of a command that argparse itself ends."""
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert isinstance(caught.value.code, int)
    return caught.value.code


# ---- help


METAVARS = {
    "listen": "ADDRESS[,ADDRESS]",
    "cognito.auth_flow": "{srp,password}",
    "cognito.endpoint_url": "URL",
    "upstreams.rest": "URL",
    "upstreams.ca_file": "FILE",
    "tls_cert": "FILE",
    "port_file": "FILE",
    "allowed_hosts": "HOST[,HOST]",
    "allowed_origins": "ORIGIN[,ORIGIN]",
    "deny": "PATTERN[,PATTERN]",
    "max_connections": "COUNT",
    "timeouts.idle": "DURATION",
    "drain_delay": "DURATION",
    "replay_limit": "SIZE",
    "log_level": "{debug,info,warning,error}",
}
DEFAULTS = {
    "listen": "127.0.0.1:8080",
    "cognito.region": "ap-southeast-2",
    "timeouts.idle": "300 s",
    "drain_delay": "0 s",
    "replay_limit": "1 MiB",
    "access_log": "true",
}


def help_of(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert ended(command, "--help") == 0
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The help of every command shows the flag of each setting that it uses, and the sources besides."""
    text = help_of(command, capsys)
    for leaf in FLAGS:
        flag = flag_of(leaf)
        form = f"{flag}, --no-{flag[2:]}" if leaf.boolean else f"{flag} {METAVARS.get(leaf.name, '')}"
        entry = f" {form}" if leaf.boolean or leaf.name in METAVARS else f" {flag} "
        shown = leaf in USED.get(command, FLAGS)
        assert (entry in text) == shown, leaf.name
        assert ((leaf.info.description or "").replace("`", "") in text) == shown, leaf.name
    # Who reads no settings has no use for what is said of them.
    reads_settings = USED.get(command, FLAGS) != []
    assert ("--config FILE" in text) == reads_settings
    for words in (*OPTIONS.get(command, ()), *EXAMPLES.get(command, ())):
        assert words in text
    for leaf in SECRETS:
        assert not re.search(rf"{flag_of(leaf)}\b(?!-)", text), leaf.name
    assert ("each also with _FILE behind it" in text) == reads_settings


def test_help_is_in_groups(capsys: pytest.CaptureFixture[str]) -> None:
    """The flags stand under the headings that the page of the settings has, in the same order."""
    assert ended("serve", "--help") == 0
    found = re.findall(r"^(\S.*(?=:$)| +--[a-z-]+)", capsys.readouterr().out, re.MULTILINE)
    lines = [line.strip() for line in found]
    expected = [line for group in Group for line in (group, *(leaf.flag for leaf in FLAGS if leaf.group is group))]
    begin = lines.index(expected[0])
    assert lines[begin : begin + len(expected)] == expected


def test_help_of_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    """A flag's entry has its form, its meaning and its default; the forms are explained below."""
    text = help_of("serve", capsys)
    for name, default in DEFAULTS.items():
        description = (LEAVES[name].info.description or "").replace("`", "")
        assert f"{description} (default: {default})" in text
    assert "(default: None" not in text
    assert "(default: )" not in text
    for words in ("500ms, 10s, 5m, 1h", "64 KiB", "between commas", "[[routes]]"):
        assert words in text


def test_defaults_are_read_for_the_help_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody who asks for no help pays for reading a file."""

    def refuse() -> dict[str, object]:
        raise AssertionError

    monkeypatch.setattr("proxy.cli.arguments.shipped_defaults", refuse)
    parse(["serve", "--listen", "127.0.0.1:1"])


@pytest.mark.parametrize("leaf", NOT_IN_DEMO, ids=lambda leaf: leaf.name)
def test_demo_refuses_what_it_would_ignore(leaf: Leaf, capsys: pytest.CaptureFixture[str]) -> None:
    """The sandbox says so where a flag would have no effect."""
    assert ended("demo", flag_of(leaf), "x") == 2
    assert f"{flag_of(leaf)} has no effect on the sandbox" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "flag"), [("login", "--listen"), ("token", "--replay-limit"), ("status", "--cognito-region")]
)
def test_commands_refuse_what_they_would_ignore(command: str, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A flag of a setting that a command does not use is refused, not swallowed."""
    assert ended(command, flag, "x") == 2
    assert f"{flag} has no effect on ul-proxy {command}" in capsys.readouterr().err


def test_help_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    """The help of the program lists every command with one line on what it does."""
    assert ended("--help") == 0
    text = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert re.search(rf"^ +{name}\s+{re.escape(command.summary)}$", text, re.MULTILINE)


@pytest.mark.parametrize("leaf", SECRETS, ids=lambda leaf: leaf.name)
@pytest.mark.parametrize("joined", ["", "="], ids=["apart", "joined"])
def test_secrets_have_no_flag(leaf: Leaf, joined: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Who tries a flag for a secret is told which variable to set; the secret is not shown."""
    flag = flag_of(leaf)
    argv = [f"{flag}={CANARY}"] if joined else [flag, CANARY]
    assert ended("config", *argv) == 2
    out, err = capsys.readouterr()
    assert f"set {leaf.variable} or {leaf.variable}_FILE" in err
    assert CANARY not in out + err


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["serve", "--frobnicate"], "unrecognized argument --frobnicate"),
        (["serve", "--frobnicate=c4n4ry"], "unrecognized argument --frobnicate"),
        (["serve", "--pass", "c4n4ry"], "unrecognized argument --pass"),
        (["serve", "--lisen", "c4n4ry"], "unrecognized argument --lisen: did you mean --listen?"),
        (["serve", "--listen-on=c4n4ry"], "unrecognized argument --listen-on: did you mean --listen?"),
        (["serve", "--no-acces-log"], "unrecognized argument --no-acces-log: did you mean --no-access-log?"),
        (["serve", "--log-lev", "debug"], "unrecognized argument --log-lev: did you mean --log-level?"),
        (["demo", "--conf", "c4n4ry"], "unrecognized argument --conf: did you mean --config?"),
        (["login", "--profil=c4n4ry"], "unrecognized argument --profil: did you mean --profile?"),
        (["token", "--knd", "c4n4ry"], "unrecognized argument --knd: did you mean --kind?"),
    ],
    ids=lambda value: value[1] if isinstance(value, list) else "",
)
def test_unknown_flag(argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown flag, abbreviations included, is named with the nearest known one, without what was given to it."""
    assert ended(*argv) == 2
    err = capsys.readouterr().err
    assert err == f"ul-proxy: {says}" + ("\n" if says.endswith("?") else f". See `ul-proxy {argv[0]} --help`.\n")
    assert CANARY not in err


DURATION = "write a number of seconds, or 500ms, 10s, 5m, 1h"


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["config", "--x"], "unrecognized argument --x. See `ul-proxy config --help`."),
        (["--x"], "unrecognized argument --x. See `ul-proxy serve --help`."),
        (["config", "more"], "unrecognized argument more. See `ul-proxy config --help`."),
        (["demo", "--log-level"], "--log-level needs a value. See `ul-proxy demo --help`."),
        (["status", f"--json={CANARY}"], "--json takes no value. See `ul-proxy status --help`."),
        (["token", "--kind", "both"], "--kind: 'both' is none of id, access. See `ul-proxy token --help`."),
        (["wait", "--max", "x"], f"--max: 'x' is no duration: {DURATION}. See `ul-proxy wait --help`."),
        (["stop", "--max=0"], "--max: '0' must be more than 0. See `ul-proxy stop --help`."),
        (["frobnicate"], f"there is no command 'frobnicate': there are {', '.join(COMMANDS)}. See `ul-proxy --help`."),
        (["stat\nus"], "there is no command 'stat\\nus': did you mean status?"),
        (["start"], "there is no command 'start': did you mean serve?"),
        (["--port", "9000"], "unrecognized argument --port: did you mean --listen?"),
        (["token", "--port", "1"], "unrecognized argument --port. See `ul-proxy token --help`."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_usage(argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake is one sentence and the way on, and exit status 2."""
    assert ended(*argv) == 2
    assert capsys.readouterr() == ("", f"ul-proxy: {says}\n")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """--version prints the version on stdout."""
    assert ended("--version") == 0
    assert capsys.readouterr() == (f"ul-proxy {__version__}\n", "")


# ---- flags as settings


@pytest.mark.parametrize("leaf", FLAGS, ids=lambda leaf: leaf.name)
def test_every_flag_is_used(leaf: Leaf, capsys: pytest.CaptureFixture[str]) -> None:
    """What a flag says is in force, and `config` names the flag as its origin."""
    wanted = {
        "listen": "127.0.0.1:9",
        "admin_listen": "127.0.0.1:10",
        "cognito.region": "ap-southeast-2",
        "cognito.user_pool_id": "ap-southeast-2_X",
        "cognito.auth_flow": "password",
        "log_format": "json",
        "allowed_origins": "https://nine.test",
        "allow": "GET /nine",
        "deny": "GET /nine",
        "max_connections": "9",
        "log_level": "error",
        "upstreams.ca_file": "/ca.pem",
        "port_file": "/port",
        "tls_cert": "/cert.pem",
        "tls_key": "/key.pem",
        "cognito.identity_pool_id": "ap-southeast-2:0-1",
        "token_store": "memory",
    }
    text = wanted.get(leaf.name) or {
        bool: "",
        float: "9",
        int: "9",
    }.get(leaf.info.annotation, "http://localhost:9" if "url" in leaf.name or "upstreams" in leaf.name else "nine")  # type: ignore[arg-type]
    assert main(["config", flag_of(leaf), *([text] if text else [])]) == 0
    (row,) = [row for row in capsys.readouterr().out.splitlines() if row.split()[0] == leaf.name]
    assert row.endswith(f"  flag {flag_of(leaf)}")
    shown = {float: "9 s", bool: "true"}.get(leaf.info.annotation, text)  # type: ignore[arg-type]
    shown = "9 B" if leaf.name in {"replay_limit", "buffer_limit"} else shown
    assert re.split(r"  +", row)[1] == shown


def test_lists_by_flag(capsys: pytest.CaptureFixture[str]) -> None:
    """A flag for a list may be given again, hold several values between commas, or both."""
    assert main(["config", "--listen", "127.0.0.1:1,[::1]:2", "--listen", "unix:/s"]) == 0
    assert "  127.0.0.1:1, [::1]:2, unix:/s  " in capsys.readouterr().out


def test_switch_off(capsys: pytest.CaptureFixture[str]) -> None:
    """A flag for a switch has its opposite; the last one wins."""
    assert main(["config", "--access-log", "--no-access-log"]) == 0
    assert re.search(r"^access_log +false +flag --access-log$", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize("argv", [[], ["--listen", "127.0.0.1:1"], ["serve", "--listen", "127.0.0.1:1"]])
def test_serve_is_the_default(argv: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare `ul-proxy`, with flags or without, is `ul-proxy serve`."""
    called: list[Mapping[str, object]] = []

    def run(flags: Mapping[str, object], config: str | None) -> int:
        called.append(flags)
        return 0

    monkeypatch.setattr("proxy.cli.serve.run", run)
    assert main(argv) == 0
    assert called == [{"listen": ["127.0.0.1:1"]} if argv else {}]


# ---- config


def test_config_masks_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    """`config` shows that a secret is set and where it came from, and nothing of what it is."""
    config = Path("my.toml")
    secret = {"totp_secret": TOTP_CANARY}
    config.write_text("".join(f'{leaf.name} = "{secret.get(leaf.name, CANARY * 4)}"\n' for leaf in SECRETS))
    config.chmod(0o600)
    assert main(["config", "--config", "my.toml"]) == 0
    out, err = capsys.readouterr()
    assert CANARY not in out + err
    assert TOTP_CANARY not in out + err
    for leaf in SECRETS:
        assert re.search(rf"^{leaf.name} +\*+ +file my.toml$", out, re.MULTILINE)


def test_config_names_origins(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`config` has one line for every setting: name, value, and where that came from."""
    Path("ul-proxy.toml").write_text(
        'username = "ada"\n[[routes]]\npath = "/s"\nupstream = "http://x"\nauth = "rest"\n'
    )
    Path("secret").write_text(CANARY)
    Path("secret").chmod(0o600)
    monkeypatch.setenv("UL_PROXY_API_KEY_FILE", "secret")
    monkeypatch.setenv("UL_PROXY_TIMEOUTS__IDLE", "1m")
    assert main(["config", "--replay-limit", "2 KiB"]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == f"config file: {Path('ul-proxy.toml').absolute()}"
    rows = {row.split()[0]: re.split(r"  +", row)[1:] for row in lines}
    assert list(rows) == list(LEAVES)
    assert rows["username"] == ["ada", "file ul-proxy.toml"]
    assert rows["routes"] == ["/s http://x rest", "file ul-proxy.toml"]
    assert rows["api_key"] == ["********", f"secret file {Path('secret').absolute()} (UL_PROXY_API_KEY_FILE)"]
    assert rows["timeouts.idle"] == ["60 s", "environment UL_PROXY_TIMEOUTS__IDLE"]
    assert rows["replay_limit"] == ["2 KiB", "flag --replay-limit"]
    assert rows["timeouts.drain"] == ["20 s", "default"]
    assert rows["password"] == ["-", "not set"]
    assert rows["allowed_hosts"] == ["-", "default"]


def test_config_without_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is no config file, `config` begins with where one was looked for."""
    assert main(["config"]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == f"no config file: looked for {tmp_path / 'ul-proxy.toml'} and {tmp_path}/xdg/ul-proxy/config.toml"
    rows = {row.split()[0]: re.split(r"  +", row)[1:] for row in lines}
    assert rows["routes"] == ["-", "default"]
    assert rows["replay_limit"] == ["1 MiB", "default"]


def test_config_shows_warnings(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`config` is where one looks for a setting that has no effect, so it shows warnings."""
    monkeypatch.setenv("UL_PROXY_USER", CANARY)
    assert main(["config"]) == 0
    assert "warning: unknown variable UL_PROXY_USER is ignored: did you mean" in capsys.readouterr().out


def test_config_as_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """For scripts, `config --json` has every setting with its value as JSON has it, secrets masked, and its source."""
    Path("ul-proxy.toml").write_text(
        'profiles.work.username = "eve"\n[[routes]]\npath = "/s"\nupstream = "http://x"\nauth = "rest"\n'
    )
    monkeypatch.setenv("UL_PROXY_API_KEY", CANARY)
    monkeypatch.setenv("UL_PROXY_USER", CANARY)
    assert main(["config", "--json", "--replay-limit", "2 KiB", "--upstreams-ca-file", "/ca.pem"]) == 0
    out, err = capsys.readouterr()
    assert CANARY not in out + err
    document = json.loads(out)
    assert document["config"] == str(Path("ul-proxy.toml").absolute())
    assert [warning.partition(" is ignored")[0] for warning in document["warnings"]] == [
        "unknown variable UL_PROXY_USER"
    ]
    settings = document["settings"]
    assert list(settings) == [*LEAVES, "profiles.work.username"]
    assert {name: settings[name]["value"] for name in EXPECTED_AS_JSON} == EXPECTED_AS_JSON
    assert settings["replay_limit"]["source"] == "flag --replay-limit"
    assert settings["api_key"]["source"] == "environment UL_PROXY_API_KEY"
    assert settings["password"]["source"] == "not set"
    assert settings["profiles.work.username"] == {"value": "eve", "source": "file ul-proxy.toml"}


EXPECTED_AS_JSON = {
    "listen": ["127.0.0.1:8080"],
    "username": None,
    "password": None,
    "api_key": "********",
    "cognito.auth_flow": "srp",
    "upstreams.ca_file": "/ca.pem",
    "timeouts.idle": 300.0,
    "replay_limit": 2048,
    "access_log": True,
    "routes": [{"path": "/s", "upstream": "http://x", "auth": "rest", "header": None}],
    "profiles": ["work"],
}


def test_config_as_json_without_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is no config file, none is named."""
    assert main(["config", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["config"] is None


# ---- demo


def test_sandbox_is_offline() -> None:
    """Whatever the settings say, the sandbox has upstreams of its own, on this machine, and reaches them directly."""
    settings = load({"upstreams.ca_file": "/ca.pem", "username": "ada"}).settings
    options = sandboxed_options(
        serve_options(settings, OutboundProxies(http=OutboundProxy("proxy.test", 3128))),
        PoolConfig(),
        CANARY,
        cognito_url="http://127.0.0.1:1",
        api_url="http://127.0.0.1:2",
    )
    assert {route.upstream.origin for route in options.built_in_routes} == {"http://127.0.0.1:2"}
    assert options.profile.pool.endpoint_url == "http://127.0.0.1:1"
    assert options.profile.username != "ada"
    assert (options.own_routes, options.ca_file, options.outbound) == ((), None, OutboundProxies())


@pytest.mark.parametrize(
    ("admin_url", "line"),
    [
        (None, "curl -sS http://127.0.0.1:1/-/status"),
        ("http://127.0.0.1:2", "curl -sS http://127.0.0.1:2/-/status"),
        ("unix:/a", "curl -sS --unix-socket /a http://localhost/-/status"),
        ("http://0.0.0.0:2", "curl -sS http://127.0.0.1:2/-/ready"),
    ],
)
def test_commands_ask_where_the_endpoints_are(admin_url: str | None, line: str) -> None:
    """The last line to paste asks the proxy about itself, for something that is told there."""
    assert commands("http://127.0.0.1:1", "1", admin_url=admin_url)[-1].strip() == line


def test_commands_present_the_token() -> None:
    """Each line to paste presents the client token where one is wanted, and none mentions it elsewhere."""
    url = "http://127.0.0.1:8080"
    lines = [line for line in commands(url, "1", with_token=True) if "curl" in line]
    assert lines
    assert all(' -H "X-UL-Proxy-Token: $UL_PROXY_CLIENT_TOKEN" ' in line for line in lines)
    assert not [line for line in commands(url, "1", with_token=False) if "TOKEN" in line]


# ---- what a crash leaves behind


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_no_core_file(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a secret is read, the system is told to write no core file of the process."""
    limits: list[tuple[int, tuple[int, int]]] = []

    def read_settings(*_: object) -> None:
        assert limits == [(resource.RLIMIT_CORE, (0, 0))]
        raise SettingsError("enough")

    monkeypatch.setattr(resource, "setrlimit", lambda *limit: limits.append(limit))
    monkeypatch.setattr(f"proxy.cli.{command}.load", read_settings)
    assert main([command]) == 2


# ---- errors and exit statuses


def test_one_line_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    """An error is one printable line even where what it quotes is not."""
    assert main(["config", "--config", "a\nb\x1b[2J.toml"]) == 2
    err = capsys.readouterr().err
    assert err.removesuffix("\n").isprintable()
    assert r"config file a\nb\x1b[2J.toml cannot be read" in err


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (SettingsError("it is wrong", hint="Mend it."), 2, "ul-proxy: it is wrong. Mend it.\n"),
        (SettingsError("it is wrong."), 2, "ul-proxy: it is wrong.\n"),
        (StartError("it is taken", hint="Take another."), 1, "ul-proxy: it is taken. Take another.\n"),
    ],
)
def test_errors(
    error: Exception, status: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unusable settings end with 2, trouble with 1; the fix follows what happened."""

    def run(flags: object, config: object, *, json: bool) -> int:
        raise error

    monkeypatch.setattr("proxy.cli.config.run", run)
    assert main(["config"]) == status
    assert capsys.readouterr() == ("", line)


def test_unusable_setting_as_a_process(tmp_path: Path) -> None:
    """An unusable setting: exit status 2, nothing on stdout, one line on stderr, no secret and no traceback."""
    process = ul_proxy("serve", environment={"UL_PROXY_API_KEY": f"{CANARY}\nX: y"}, folder=tmp_path)
    assert (process.returncode, process.stdout) == (2, "")
    assert re.fullmatch(r"ul-proxy: api_key \(environment UL_PROXY_API_KEY\): .+\n", process.stderr)
    assert CANARY not in process.stderr


@pytest.mark.parametrize(
    ("flags", "environment", "shown"),
    [
        (["--log-level", "debug"], {}, True),
        ([], {"UL_PROXY_LOG_LEVEL": "debug"}, True),
        ([], {"ul_proxy_log_level": "debug"}, True),
        (["--log-level", "info"], {"UL_PROXY_LOG_LEVEL": "debug"}, False),
        (["--log-level", "debug"], {"UL_PROXY_LOG_LEVEL": "info"}, True),
        ([], {"UL_PROXY_LOG_LEVEL": ""}, False),
        ([], {}, False),
    ],
)
def test_who_asks_for_a_traceback(
    flags: list[str],
    environment: dict[str, str],
    shown: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The flag and the variable ask for debug output alike, and the flag wins."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main(["config", "--config", "missing.toml", *flags]) == 2
    assert ("Traceback" in capsys.readouterr().err) == shown


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    """At debug level the traceback is there for a defect report, still without a secret."""
    (tmp_path / "ul-proxy.toml").write_text(f"password = {CANARY}\n")
    process = ul_proxy("config", "--log-level", "debug", folder=tmp_path)
    assert process.returncode == 2
    assert process.stderr.startswith("Traceback (most recent call last):\n")
    assert process.stderr.splitlines()[-1].startswith("ul-proxy: config file ul-proxy.toml is not valid TOML")
    assert CANARY not in process.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_output_in_any_encoding(encoding: str, tmp_path: Path) -> None:
    """A terminal that lacks a letter is shown its number."""
    process = subprocess.run(
        [sys.executable, "-m", "proxy", "config", "--username", "漢字"],
        env=guarded_environment(XDG_CONFIG_HOME="/nonexistent", PYTHONIOENCODING=encoding),
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, b"")
    assert ("漢字" if encoding == "utf-8" else r"\u6f22\u5b57") in process.stdout.decode(encoding)


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_reader_that_leaves(unbuffered: str, tmp_path: Path) -> None:
    """`ul-proxy config | head -1` ends without a traceback."""
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run(
        [sys.executable, "-m", "proxy", "config"],
        env=guarded_environment(XDG_CONFIG_HOME="/nonexistent", PYTHONUNBUFFERED=unbuffered),
        cwd=tmp_path,
        stdout=write,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(write)
    assert process.stderr == b""
    assert process.returncode == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_module(command: str) -> None:
    """Each command that the help lists is there to be run."""
    assert (Path(cli.__file__).parent / f"{command}.py").exists()
