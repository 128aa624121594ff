"""`make bench`: every proxy that is installed, under the same load, in turn and repeatedly; medians and ratios.

Prints tables and writes them to RESULTS.md beside this file, into the section of the Python that it runs on. `--only`
measures one group of them; those of other groups stay in RESULTS.md as they were. `--quick` is for trying it out, and writes
nothing.
"""

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from bench import peers
from bench.groups import GROUPS, Run
from bench.limit import limited
from bench.pressure import CROWD, SMALL_CROWD, Crowd
from bench.record import machine, write
from bench.report import Figures, tables
from bench.rig import Rig, new_cognito

TURNS = 4
"""How often in a round each load goes round all proxies."""
ONCE = ("memory",)
"""Groups that are measured in the first round alone: they have no speed that changes."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short and once, into no file: figures mean little")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2, help="how long each turn of a load lasts")
    parser.add_argument("--only", action="append", choices=GROUPS, help="measure this group alone; may be repeated")
    parser.add_argument(
        "--peer",
        action="append",
        choices=[peer.name for peer in peers.ALL],
        help="measure this peer alone, and write nothing",
    )
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds = arguments.seconds = 1
    turns = 1 if arguments.quick else TURNS
    for need in ("wrk", "curl", "nginx"):
        if shutil.which(need, path=os.environ["PATH"] + ":/usr/sbin") is None:
            sys.exit(f"bench: {need} is needed for any measurement: apt-get install wrk curl nginx-light")
    groups = arguments.only or list(GROUPS)
    present = [peer for peer in peers.ALL if peer.program() and (not arguments.peer or peer.name in arguments.peer)]
    lacking = [f"{peer.name}: `{peer.install}`" for peer in peers.ALL if not peer.program()]
    for name in lacking:
        print(f"not installed, left out: {name}")
    crowd = SMALL_CROWD if arguments.quick else CROWD
    figures = asyncio.run(
        measured(groups, present, rounds=arguments.rounds, turns=turns, seconds=arguments.seconds, crowd=crowd)
    )
    with limited() as limit:
        told = tables(figures, limit=limit.told)
    intro = machine(rounds=arguments.rounds, turns=turns, seconds=arguments.seconds, lacking=lacking)
    print("\n\n".join([intro, *(f"### {title}\n\n{text}" for title, text in told.items())]))
    if not (arguments.quick or arguments.peer):
        write(intro, told)


async def measured(
    groups: list[str], present: list[peers.Peer], *, rounds: int, turns: int, seconds: int, crowd: Crowd
) -> Figures:
    """Measure `groups` of these peers, `rounds` times."""
    figures: Figures = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_TMP")) as name:
        Path(name).chmod(0o755)  # workers of nginx are somebody else
        cognito = new_cognito()
        async with cognito.running() as cognito_url:
            rig = Rig.create(Path(name), cognito, cognito_url)
            with rig.origin():
                run = Run(rig, present, figures, turns, seconds, crowd)
                for number in range(rounds):
                    for group in groups:
                        if number == 0 or group not in ONCE:
                            print(f"round {number + 1} of {rounds}: {group}", flush=True)
                            await GROUPS[group](run)
    return figures


if __name__ == "__main__":
    main()
