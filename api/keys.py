"""`python -m api.keys`: tenants, their limits and their first keys, by whoever runs the service.

Works on the database directly, for someone has to make the first key. All further ones can be made over HTTP.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence

from store.database.database import Database, open_database
from store.errors import StoreError
from store.settings import Settings
from store.tenancy.api_keys import SCOPES, create_key, list_keys, revoke_key
from store.tenancy.tenants import QUOTAS, add_tenant, list_tenants, set_limits

TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def create(db: Database, arguments: argparse.Namespace) -> None:
    """Create a key and print it once."""
    add_tenant(db, arguments.tenant)
    days = arguments.days or None
    made = create_key(db, tenant=arguments.tenant, name=arguments.name, scopes=[arguments.scope], days=days)
    print(made.secret)
    print(f"{made.key.id}: keep the line above, it is not shown again", file=sys.stderr)


def show(db: Database, arguments: argparse.Namespace) -> None:
    """Print the keys of a tenant."""
    for name, limits, _ in list_tenants(db):
        if arguments.tenant in (None, name):
            print(name, json.dumps(limits) if limits else "")
            for key in list_keys(db, tenant=name, page_size=200).items:
                ended = "revoked" if key.revoked_at else f"until {key.expires_at:%Y-%m-%d}" if key.expires_at else ""
                print(f"  {key.id}  {key.hint}…  {key.scopes[-1]:5}  {key.name}  {ended}")


def revoke(db: Database, arguments: argparse.Namespace) -> None:
    """Revoke a key."""
    revoke_key(db, arguments.key, tenant=arguments.tenant)


def limit(db: Database, arguments: argparse.Namespace) -> None:
    """Set a tenant's limits."""
    set_limits(db, arguments.tenant, dict(arguments.limits))


def main(command_line: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    arguments = _parser().parse_args(command_line)
    work: Callable[[Database, argparse.Namespace], None] = arguments.work
    try:
        db = open_database(Settings())
        try:
            work(db, arguments)
        finally:
            db.close()
    except StoreError as error:
        print(f"api.keys: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m api.keys", description="Tenants, their limits and their keys.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    making = commands.add_parser("create", help="make a key, and its tenant where there is none; prints the key")
    making.add_argument("--tenant", required=True, type=_tenant)
    making.add_argument("--name", default="first", help="whose key it is")
    making.add_argument("--scope", choices=SCOPES, default="admin", help="each holds those before it")
    making.add_argument("--days", type=float, default=90.0, help="0: it does not expire by itself")
    making.set_defaults(work=create)
    showing = commands.add_parser("list", help="tenants with their limits and keys")
    showing.add_argument("--tenant", type=_tenant)
    showing.set_defaults(work=show)
    ending = commands.add_parser("revoke", help="end a key now")
    ending.add_argument("--tenant", required=True, type=_tenant)
    ending.add_argument("key", help="its id (key_…)")
    ending.set_defaults(work=revoke)
    limiting = commands.add_parser("limit", help="set a tenant's own limits; the others are the deployment's")
    limiting.add_argument("--tenant", required=True, type=_tenant)
    limiting.add_argument("limits", nargs="*", type=_limit, metavar="NAME=NUMBER", help=", ".join(QUOTAS))
    limiting.set_defaults(work=limit)
    return parser


def _tenant(text: str) -> str:
    if not TENANT.fullmatch(text):
        raise argparse.ArgumentTypeError("a tenant's name has 1 to 63 characters of a-z, 0-9 and -")
    return text


def _limit(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if name not in QUOTAS or not number.isdigit():
        raise argparse.ArgumentTypeError(f"write NAME=NUMBER, NAME one of {', '.join(QUOTAS)}")
    return name, int(number)


if __name__ == "__main__":
    sys.exit(main())
