"""What `make bench` makes of its figures, and where it writes them."""

import subprocess
import sys

import pytest

from bench.limit import LIMIT, Limit, limited
from bench.record import recorded
from bench.report import SLOW, Figures, tables

OURS, BASELINE, NGINX = "ul-proxy", "ClientSession", "nginx"
TIMES = "\N{MULTIPLICATION SIGN}"


def told(figures: Figures, title: str) -> dict[str, list[str]]:
    """The rows of a table, by their names; that of the peers has none."""
    rows = [line.strip("|").split("|") for line in tables(figures, limit="none")[title].splitlines() if "|" in line]
    return {name.strip(): [cell.strip() for cell in cells] for name, *cells in rows}


def test_medians_and_ratios() -> None:
    """A row shows the median of what was measured; ratios are those of medians, and what is lacking shows as a dash."""
    figures = {
        "direct": {"rate 32": [100.0]},
        OURS: {"rate 32": [10.0, 30.0, 20.0]},
        BASELINE: {"rate 32": [5.0]},
        NGINX: {"rate 1": [7.0]},
    }
    rows = told(figures, "Requests/s, 400-byte answer")
    assert rows[""] == ["direct", OURS, BASELINE, NGINX]
    assert rows["32 connections"] == ["100", "20", "5", "-"]
    assert rows[f"32: {TIMES} ClientSession"] == ["20.00", "4.00", "1.00", "-"]
    assert rows[f"32: {TIMES} nginx"] == ["-", "-", "-", "-"]


def test_what_a_proxy_adds() -> None:
    """What a proxy adds to a latency is told beside what nginx adds."""
    figures = {
        "direct": {"far p50 32": [5000.0]},
        OURS: {"far p50 32": [5300.0]},
        NGINX: {"far p50 32": [5200.0]},
    }
    rows = told(figures, "Latency with an upstream 5 ms away, µs")
    assert rows["32: p50 added"] == ["0", "300", "200"]
    assert rows[f"32: p50 added {TIMES} nginx"] == ["0.00", "1.50", "1.00"]


def test_only_what_was_measured_has_a_table() -> None:
    """Groups that were left out have no table, and neither has what failed for every proxy."""
    assert list(tables({"direct": {"rate 1": [1.0]}, OURS: {"down": [1.0]}}, limit="none")) == [
        "1 GiB, GB/s and MB of memory above idle"
    ]


@pytest.mark.parametrize(
    ("outlived", "shown"),
    [
        ({}, "-"),
        (dict.fromkeys(SLOW, 1.0), "yes"),
        ({**dict.fromkeys(SLOW, 1.0), SLOW[0]: 0.0, SLOW[3]: 0.0}, "killed by slow readers, stalled uploads"),
        ({SLOW[0]: 1.0}, "-"),
    ],
)
def test_who_outlives_slow_callers(outlived: dict[str, float], shown: str) -> None:
    """Whoever was killed is told with what killed it; where something was not tried, nothing is."""
    figures = {OURS: {"slow readers": [1.0], **{f"{kind} outlived": [value] for kind, value in outlived.items()}}}
    assert told(figures, "Memory of slow callers, in a limit of 256 MiB")["outlived them"] == [shown]


BEFORE = """# Results

What people wrote.

## Where the time goes

More of it.
"""
TABLES = {"One": "| a |", "Two": "| b |"}


def test_a_section_for_each_python() -> None:
    """A Python that has none yet gets a section behind the others; whatever people wrote stays."""
    once = recorded(BEFORE, "3.11", "A machine.", TABLES)
    assert once == (
        "# Results\n\nWhat people wrote.\n\n## Python 3.11\n\n<!-- figures: 3.11 -->\nA machine.\n\n"
        "### One\n\n| a |\n\n### Two\n\n| b |\n<!-- end of figures: 3.11 -->\n\n## Where the time goes\n\nMore of it.\n"
    )
    twice = recorded(once, "3.13", "Another.", {"One": "| c |"})
    assert twice.index("A machine.") < twice.index("## Python 3.13\n") < twice.index("| c |") < twice.index("## Where")
    assert twice.replace(twice[twice.index("## Python 3.13") : twice.index("## Where")], "") == once


def test_one_group_is_recorded_anew() -> None:
    """Tables of other groups, and the sections of other Pythons, stay as they were."""
    document = recorded(recorded(BEFORE, "3.11", "A machine.", TABLES), "3.13", "Another.", TABLES)
    again = recorded(document, "3.11", "The same.", {"Two": "| c |", "Three": "| d |"})
    assert again.partition("## Python 3.13")[2] == document.partition("## Python 3.13")[2]
    section = again.partition("## Python 3.13")[0]
    assert "A machine." not in section
    assert section.index("### One\n\n| a |") < section.index("### Two\n\n| c |") < section.index("### Three\n\n| d |")
    assert recorded(again, "3.11", "The same.", {}) == again


GREEDY = f"import os; os.write(1, b'begun'); kept = bytearray({LIMIT}) + b'x'; os.write(1, b', had it')"


def test_a_limit_holds() -> None:
    """A process that wants more memory than it may have is killed; where there is no limit, the reason is told."""
    with limited() as limit:
        if limit.prefix is None:
            pytest.skip(limit.told)
        ended = subprocess.run(limit.command([sys.executable, "-c", GREEDY]), capture_output=True, check=False)
        assert (ended.stdout, ended.returncode) == (b"begun", -9)


def test_without_a_limit_a_command_runs_all_the_same() -> None:
    """What is measured does not need one."""
    assert Limit("none").command(["a", "b"]) == ["a", "b"]
    assert Limit("none").sockets() is None
