"""`python -m api`: the service on the address of the settings."""

import os
import sys

import uvicorn

from api import logs
from api.app import create_app
from store.settings import Settings

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def main() -> int:
    settings = Settings()
    logs.configure(settings.log_level)
    if settings.api.host not in LOOPBACK:
        # There are no keys yet: whoever reaches the port may do everything.
        print(f"api: refusing to listen on {settings.api.host}: without keys only loopback is safe", file=sys.stderr)
        return 2
    uvicorn.run(
        create_app(settings),
        host=settings.api.host,
        port=settings.api.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
