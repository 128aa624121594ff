"""What the program calls settings, variables, commands and flags, in hints above all, is held against what there is."""

import ast
from collections.abc import Callable, Iterable, Iterator

import pytest
from support.environment import ROOT
from support.naming import (
    HOLE,
    SECTIONS,
    SETTINGS,
    strings_in,
    wrong_arguments,
    wrong_commands,
    wrong_flags,
    wrong_settings,
    wrong_variables,
)

from proxy.cli.manual import COMMANDS
from proxy.errors.names import flag, variable, variables
from proxy.identity.profile import DEFAULT_PROFILE

OTHERS = {
    # What follows the program's name in a sentence.
    *("ul-proxy does", "ul-proxy has", "ul-proxy needs"),
    # Flags of curl and of the AWS CLI, what others call --listen, one of ul-proxy itself, an example, a beginning.
    *("--cacert", "--data-binary", "--data-raw", "--unix-socket", "--metadata"),
    *("--bind", "--host", "--port", "--version", "--no", "--flag"),
    # Codes of errors, fields of log lines and of tokens, files, and what AWS calls a setting of its own.
    *("login_required", "not_running", "overhead_ms", "request_id", "upstream_ms", "token_use"),
    *("page.css", "page.js", "proxy.access", "credential_process"),
}
"""What looks like a name of the program's and is none."""


def wrong_names() -> Iterator[tuple[str, str]]:
    """Where something in the program is called what it is not, and what."""
    for path in sorted((ROOT / "proxy").rglob("*.py")):
        tree, place = ast.parse(path.read_bytes()), path.relative_to(ROOT)
        yield from ((f"{place}", name) for name in wrong_arguments(tree))
        for line, text, sentence in strings_in(tree):
            found = [*wrong_variables(text), *wrong_commands(text), *wrong_flags(text)]
            yield from ((f"{place}:{line}", name) for name in [*found, *(wrong_settings(text) if sentence else ())])


def test_every_string_names_what_there_is() -> None:
    """No string of the program, those with parts filled in included, names a setting, command or flag that is none."""
    found = list(wrong_names())
    assert [f"{place}: {name}" for place, name in found if name not in OTHERS] == []
    assert OTHERS - {name for _, name in found} == set(), "no longer there"


@pytest.mark.parametrize(
    ("judge", "text", "wrong"),
    [
        (wrong_variables, "Set UL_PROXY_PASWORD, or UL_PROXY_PASSWORD_FILE.", ["UL_PROXY_PASWORD"]),
        (wrong_variables, "UL_PROXY_LISTEN_FILE", ["UL_PROXY_LISTEN_FILE"]),
        (wrong_variables, "UL_PROXY_PROFILES__A_1__COGNITO__CLIENT_SECRET_FILE, UL_PROXY_COGNITO, UL_PROXY_CONFIG", []),
        (wrong_variables, "UL_PROXY_PROFILES__A__LISTEN", ["UL_PROXY_PROFILES__A__LISTEN"]),
        (wrong_variables, f"UL_PROXY_{HOLE}", [f"UL_PROXY_{HOLE}"]),
        (wrong_commands, "Run `ul-proxy logon`, or `ul-proxy login`.", ["ul-proxy logon"]),
        (wrong_commands, "ul-proxy wait --max 5m && ul-proxy stop --profile a", ["ul-proxy stop --profile"]),
        (wrong_commands, "Run `ul-proxy serve`, or tell --url.", []),
        (wrong_flags, "Tell --ulr, or --log-level, or --no-access-log.", ["--ulr"]),
        (wrong_flags, f"Choose another with --{HOLE}.", ["--"]),
        (wrong_settings, "Raise timeouts.header, or max_conections.", ["max_conections", "timeouts.header"]),
        (wrong_settings, "Raise timeouts.headers, or max_connections: see api.py(), $a_b and /c_d.", []),
        (wrong_settings, "Set inspektor = true under [cognitto] or [profiles.NAME].", ["[cognitto]", "inspektor ="]),
    ],
)
def test_a_wrong_name_is_found(judge: Callable[[str], Iterable[str]], text: str, wrong: list[str]) -> None:
    """Misspelt names, names of others and names that are put together by hand are told from those that there are."""
    assert sorted(judge(text)) == wrong


def test_strings_are_found_wherever_they_stand() -> None:
    """Parts of f-strings are one text, and a docstring is no sentence of the program's."""
    module = ast.parse('"""A docstring."""\nx = f"Set {x} or " f"{y}."\ndef f(y="a"):\n    return [variable("b")]\n')
    assert list(strings_in(module)) == [
        (1, "A docstring.", False),
        (2, f"Set {HOLE} or {HOLE}.", True),
        (3, "a", False),
        (4, "b", False),
    ]
    assert list(wrong_arguments(module)) == ["b"]


def test_commands_name_settings() -> None:
    """What a command has flags for, or ignores, are settings and sections of them."""
    named = {name for command in COMMANDS.values() for name in (*(command.settings or ()), *command.ignored)}
    assert named - SETTINGS - SECTIONS == set()


def test_spelling() -> None:
    """Variables and flags are spelt as they are read, those of a profile with its name."""
    assert (variable("cognito.region"), flag("cognito.region")) == ("UL_PROXY_COGNITO__REGION", "--cognito-region")
    assert variables(["username", "password"]) == "UL_PROXY_USERNAME and UL_PROXY_PASSWORD"
    assert variable("api_key", DEFAULT_PROFILE) == "UL_PROXY_API_KEY"
    assert variable("api_key", "a-b") == "UL_PROXY_PROFILES__A_B__API_KEY"
