"""`python -m testbed.claims`: see the package."""

import argparse
import sys
from pathlib import Path

from testbed.claims.claims import CLAIMS
from testbed.claims.document import write_document
from testbed.claims.heads import SIZES
from testbed.claims.running import run_claim

FOLDERS = {"full": Path("docs/claims"), "tiny": Path("out/claims")}


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0 done, 2 wrong command line."""
    parser = argparse.ArgumentParser(prog="python -m testbed.claims", description="Measure the papers' claims.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="claims to measure; none: all")
    parser.add_argument("--list", action="store_true", help="name them and what they ask")
    parser.add_argument("--document", action="store_true", help="write docs/claims.md and measure nothing")
    parser.add_argument("--repeats", type=int, help="paired repeats; default: as planned for each claim")
    parser.add_argument("--size", choices=sorted(SIZES), default="full")
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.names) - set(CLAIMS))
    if unknown:
        parser.error(f"no claim {', '.join(unknown)}; known: {', '.join(CLAIMS)}")
    if given.repeats is not None and given.repeats < 1:
        parser.error("--repeats is at least 1")
    if given.list:
        for name, claim in CLAIMS.items():
            print(f"{name:18} {claim.repeats:3} repeats   {claim.question}")
        return 0
    folder = FOLDERS[given.size]
    if not given.document:
        for name in given.names or CLAIMS:
            claim = CLAIMS[name]
            result = run_claim(claim, given.repeats or claim.repeats, given.size, folder)
            for one in result["contrasts"]:
                what = f"{one['first']} against {one['second']} by {one['metric']}"
                print(f"{name}: {what}: {one['difference']}, holds: {one['holds']}")
    if given.size == "full":
        missing = write_document(folder, Path("docs/claims.md"))
        if missing:
            print(f"not measured yet: {', '.join(missing)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
