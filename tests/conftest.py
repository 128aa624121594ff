"""What holds for every test: it stays on loopback, and the machine's own settings change nothing."""

import os
import signal
from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings
from support import sitecustomize
from support.environment import guarded_environment, is_ambient

pytest_plugins = ["support.loops", "support.origin"]

# The same examples on every machine and on every run: a failure in CI is one that anybody can repeat.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "100"))
settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=EXAMPLES)
settings.load_profile("repeatable")

sitecustomize.install()

MADE_ONCE = {"image", "base", "foreign_cognito", "moto_cognito", "ministack_cognito"}
"""Fixtures that take long to make, and of which one process at a time has its own."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share what takes long to make come first: then they are all one process's, and it is made once.

    The first process begins with them, and others take tests from the end of its list.
    """
    items.sort(key=lambda item: MADE_ONCE.isdisjoint(getattr(item, "fixturenames", ())))


@pytest.fixture(scope="session", autouse=True)
def _no_ambient_settings() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if is_ambient(name)]:
            patch.delenv(name)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            patch.setenv(name, os.devnull)
        yield


@pytest.fixture(scope="session", autouse=True)
def _what_tests_start_hears_sigint() -> None:
    """A shell has a script's `make test &` ignore SIGINT, and whatever that starts; a handler is not inherited."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: None)


@pytest.fixture(autouse=True)
def _nothing_left_loopback() -> Iterator[None]:
    """Fails a test whose code tried to leave loopback, even where that code swallowed the refusal."""
    sitecustomize.attempts.clear()
    yield
    tried = sitecustomize.attempts.copy()
    sitecustomize.attempts.clear()
    assert not tried, f"tests stay on loopback: {tried}"


@pytest.fixture
def refused_attempts() -> Iterator[list[str]]:
    """What the guard refused so far; for the tests of the guard itself, which are forgiven."""
    yield sitecustomize.attempts
    sitecustomize.attempts.clear()


@pytest.fixture
def guarded_env() -> Callable[..., dict[str, str]]:
    """Makes an environment for a subprocess that must stay on loopback, too."""
    return guarded_environment
