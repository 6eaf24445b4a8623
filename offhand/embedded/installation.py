"""Parts of the service that are installed here.

The wheel contains the command and the SDK alone. The service runs from a checkout, whose packages lie beside
`offhand/`, or from the images in `docker/`.
"""

import os
from importlib.util import find_spec
from pathlib import Path

from offhand.errors import NotStarted

#: The checkout, where this is one.
ROOT = Path(__file__).resolve().parents[2]
WORKER_PACKAGES = ("contracts", "core", "migrations", "store", "worker")
PACKAGES = ("api", *WORKER_PACKAGES)
#: Libraries of the service, one for each extra of the installation that is needed.
WORKER_LIBRARIES = {"sqlalchemy": "service", "torch": "worker"}
LIBRARIES = {"fastapi": "service", **WORKER_LIBRARIES}


def missing_packages(packages: tuple[str, ...] = PACKAGES) -> list[str]:
    """Return those of the service's packages that are not beside this one.

    Packages of the same names elsewhere, such as a user's own `api` or `core`, do not count.
    """
    if not (ROOT / "pyproject.toml").is_file():
        return list(packages)
    return [name for name in packages if not (ROOT / name).is_dir()]


def missing_libraries(libraries: dict[str, str] = LIBRARIES) -> dict[str, str]:
    """Return those of the service's libraries that cannot be found, each with the extra that installs it."""
    return {name: extra for name, extra in libraries.items() if find_spec(name) is None}


def refuse_missing_service(packages: tuple[str, ...] = PACKAGES, libraries: dict[str, str] = LIBRARIES) -> None:
    """Raise :class:`~offhand.errors.NotStarted` with the commands that help where a part of the service is missing."""
    if absent := missing_packages(packages):
        raise NotStarted(
            f"the service is not installed here: {', '.join(absent)} not found beside {ROOT / 'offhand'}. "
            "The wheel has the command and the SDK alone",
            [
                "in a checkout of Offhand: make setup, then .venv/bin/offhand up",
                "or, in a checkout, with Docker: docker compose up --build -d",
                "a service on another machine needs none of this: set OFFHAND_URL, or use --url",
            ],
        )
    if missing := missing_libraries(libraries):
        raise NotStarted(
            f"libraries of the service are not installed: {', '.join(missing)}", [f"run: {install_command(missing)}"]
        )


def install_command(missing: dict[str, str]) -> str:
    """Return the command that installs missing libraries."""
    extras = ",".join(sorted(set(missing.values())))
    return f"pip install -e '{ROOT}[{extras}]'"


def service_environment() -> dict[str, str]:
    """Return the environment of a process of the service.

    It imports our packages whatever the current folder contains, such as a user's own `api` or `core`.
    """
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return os.environ | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
