"""`python -m api`: the service on the address of the settings."""

import uvicorn

from api import logs
from api.app import create_app
from store.settings import Settings


def main() -> None:
    settings = Settings()
    logs.configure(settings.log_level)
    uvicorn.run(
        create_app(settings),
        host=settings.api.host,
        port=settings.api.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    main()
