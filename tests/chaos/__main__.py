"""Providers fail at random, programs are killed, paused and restarted, and every request has to end
in an answer that is complete and true, or in an error that the table of failures allows.

  scripts/chaos                          20 seconds, once on SQLite and once on Redis
  scripts/chaos --seed 7 --minutes 10    10 minutes of another run
  scripts/chaos --soak --minutes 30      no disturbances; memory and descriptors must stay flat

The same seed gives the same requests with the same faults, and the same disturbances at the same
times. CANDOR_BUILD says where the programs are. Exit status 1: something was untrue, or grew.
"""

import argparse
import pathlib
import sys
import tempfile

from .report import growth, render, render_samples
from .run import Run, Settings


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="scripts/chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--seed", type=int, default=1)
    add("--minutes", type=float, default=1 / 3, help="of the whole run")
    add("--store", choices=["sqlite", "redis", "both"], help="default: both, of a soak: sqlite")
    add("--rate", type=float, default=50, help="requests a second")
    add("--soak", action="store_true")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    store = arguments.store or ("sqlite" if arguments.soak else "both")
    stores = ["sqlite", "redis"] if store == "both" else [store]
    is_good = True
    with tempfile.TemporaryDirectory(prefix="candor-chaos-") as directory:
        for store in stores:
            settings = Settings(
                seed=arguments.seed,
                seconds=arguments.minutes * 60 / len(stores),
                store=store,
                rate=arguments.rate,
                failing_share=0.1 if arguments.soak else 0.3,
                has_disturbances=not arguments.soak,
            )
            result = Run(settings, pathlib.Path(directory) / store).carry_out()
            print(render(settings, result), flush=True)
            # Of faults alone a run says little.
            is_good &= result.violation_count == 0 and result.is_mostly_answered()
            if arguments.soak:
                print(render_samples(result), flush=True)
                grown = growth(result)
                print("\n".join(grown) or "flat")
                is_good &= not grown
    sys.exit(0 if is_good else 1)


main()
