"""`python -m worker.weights`: pull and list published weights; `offhand weights` shows what it prints.

Lines of JSON: `{"bytes": 1, "total": 2}` while bytes arrive, then `{"result": …}` or `{"error": {"code", "detail"}}`.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from store.errors import StoreError
from store.settings import Settings
from worker.weights.catalogue import CATALOGUE, PublishedFile
from worker.weights.folders import evaluation_folders, perceptual_caches, weights_folder
from worker.weights.pull import PullOptions, pull, sha256_of

_SECONDS_BETWEEN_LINES = 0.2


class _ByteLines:
    """Prints bytes received, a few times a second."""

    def __init__(self) -> None:
        self._printed_at = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._printed_at >= _SECONDS_BETWEEN_LINES or done == total:
            self._printed_at = now
            _print({"bytes": done, "total": total})


def _print(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


def listed(settings: Settings, *, verify: bool) -> list[dict[str, Any]]:
    """Return a document for each entry of the catalogue. verify: with the digest of files that are present."""
    return [_document(one, settings, verify=verify) for one in CATALOGUE.values()]


def _document(one: PublishedFile, settings: Settings, *, verify: bool) -> dict[str, Any]:
    path = _found(one, settings)
    found: dict[str, Any] = {
        "name": one.name,
        "used_for": one.used_for,
        "licence": one.licence,
        "url": one.url,
        "expected_sha256": one.sha256,
        "mib": one.mib,
        "present": path is not None,
        "path": str(path or weights_folder(settings) / one.file),
    }
    if verify and path is not None:
        found["sha256"] = sha256_of(path)
        found["as_published"] = found["sha256"].startswith(one.sha256)
    return found


def _found(one: PublishedFile, settings: Settings) -> Path | None:
    folders = [*evaluation_folders(settings), *perceptual_caches(settings)]
    if settings.worker.perceptual_weights:
        folders.insert(0, Path(settings.worker.perceptual_weights))
    folders += [folder / "checkpoints" for folder in perceptual_caches(settings)]
    names = (one.file, one.other_file(".pth"), one.other_file(".safetensors"))
    return next((folder / name for folder in folders for name in names if (folder / name).is_file()), None)


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m worker.weights", description="Published weights of a worker.")
    commands = parser.add_subparsers(dest="command", required=True)
    pulling = commands.add_parser("pull")
    pulling.add_argument("names", nargs="+")
    pulling.add_argument("--from", dest="source")
    pulling.add_argument("--sha256")
    listing = commands.add_parser("ls")
    listing.add_argument("--verify", action="store_true")
    given = parser.parse_args()
    if given.command == "pull" and len(given.names) > 1 and (given.source or given.sha256):
        parser.error("--from and --sha256 are for one name")
    return given


def main() -> int:
    """Run a command and return the exit status."""
    given = _parsed()
    logging.disable()
    try:
        settings = Settings()
        if given.command == "ls":
            _print({"result": listed(settings, verify=given.verify)})
            return 0
        options = PullOptions(given.source, given.sha256, settings.egress.trusted_hosts)
        pulled = [pull(name, weights_folder(settings), options, _ByteLines()) for name in given.names]
        documents = [
            {
                "name": one.name,
                "path": str(one.path),
                "bytes": one.bytes,
                "sha256": one.sha256,
                "downloaded": one.downloaded,
            }
            for one in pulled
        ]
        _print({"result": documents})
        return 0
    except StoreError as error:
        _print({"error": {"code": error.code, "detail": error.detail}})
    except ValidationError as error:
        names = ", ".join(f"OFFHAND_{'__'.join(map(str, one['loc'])).upper()}: {one['msg']}" for one in error.errors())
        _print({"error": {"code": "wrong_settings", "detail": names}})
    except KeyboardInterrupt:
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
