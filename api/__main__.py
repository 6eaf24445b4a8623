"""`python -m api`: the service on the address of the settings."""

import structlog
import uvicorn

from api import logs
from api.app import create_app
from api.browsers import LOOPBACK
from store.settings import Settings

log = structlog.get_logger(__name__)


def main() -> None:
    settings = Settings()
    logs.configure(settings.log_level)
    if settings.api.host not in LOOPBACK:
        log.warning(
            "api.open", host=settings.api.host, detail="there are no keys: whoever reaches the port may do everything"
        )
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
