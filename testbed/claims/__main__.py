"""`python -m testbed.claims`: see the package."""

import argparse
import sys
from pathlib import Path

from core.generators.files import shipped_generators
from testbed.claims.claims import CLAIMS, MAIN, MAIN_REPEATS
from testbed.claims.document import results_folder, write_document
from testbed.claims.running import run_claims
from testbed.claims.trial import SIZES
from testbed.worlds import WORLDS, World

RESULTS, SCRATCH = Path("docs/measurements/claims"), Path("out/claims")
DOCUMENT = RESULTS.with_suffix(".md")


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0 done, 2 wrong command line."""
    parser = argparse.ArgumentParser(prog="python -m testbed.claims", description="Measure the papers' claims.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="claims to measure; none: all of the world")
    parser.add_argument("--world", choices=sorted(WORLDS), help="default: every one whose generator is shipped")
    parser.add_argument("--main", action="store_true", help=f"the {len(MAIN)} main claims, {MAIN_REPEATS} repeats each")
    parser.add_argument("--list", action="store_true", help="name them and what they ask")
    parser.add_argument("--document", action="store_true", help="write the page of results and measure nothing")
    parser.add_argument("--repeats", type=int, help="paired repeats; default: as planned for each claim")
    parser.add_argument("--size", choices=sorted(SIZES), default="full")
    given = parser.parse_args(arguments)
    if given.main and given.names:
        parser.error("--main names the claims itself")
    if given.main:
        given.names, given.repeats = list(MAIN), given.repeats or MAIN_REPEATS
    worlds = _worlds(parser, given)
    if given.list:
        for name, claim in CLAIMS.items():
            print(f"{name:12} {claim.repeats:3} repeats   {claim.question} ({', '.join(claim.worlds)})")
        return 0
    for world in worlds if not given.document else ():
        claims = [one for one in CLAIMS.values() if world.name in one.worlds and one.name in (given.names or CLAIMS)]
        folder = results_folder(SCRATCH if given.size == "tiny" else RESULTS, world.name, given.size)
        for name, result in run_claims(claims, given.repeats, given.size, world, folder).items():
            for one in result["contrasts"]:
                what = f"{one['first']} against {one['second']} by {one['metric']}"
                print(f"{world.name} {name}: {what}: {one['difference']}, holds: {one['holds']}")
    missing = write_document(RESULTS, DOCUMENT) if given.size != "tiny" else []
    if missing:
        print(f"not measured yet: {', '.join(missing)}", file=sys.stderr)
    return 0


def _worlds(parser: argparse.ArgumentParser, given: argparse.Namespace) -> list[World]:
    """The worlds to measure; a wrong command line ends the program."""
    shipped = [one for one in WORLDS.values() if one.generator in shipped_generators()]
    worlds = [WORLDS[given.world]] if given.world else shipped
    here = {name for name, claim in CLAIMS.items() if any(world.name in claim.worlds for world in worlds)}
    unknown = sorted(set(given.names) - here)
    if unknown:
        parser.error(f"no claim {', '.join(unknown)}; known: {', '.join(name for name in CLAIMS if name in here)}")
    if given.repeats is not None and given.repeats < 1:
        parser.error("--repeats is at least 1")
    if not given.document and not set(worlds) <= set(shipped):
        parser.error(f"the generator {worlds[0].generator} is not shipped")
    return worlds


if __name__ == "__main__":
    sys.exit(main())
