"""`python -m api`: the service on the address of the settings."""

import gc

import uvicorn

from api import logs
from api.app import create_app
from api.server import config
from store.settings import Settings


def main() -> None:
    settings = Settings()
    logs.configure(settings.log_level)
    server = uvicorn.Server(config(create_app(settings), settings.api.host, settings.api.port))
    # What is there by now stays: looking through all of it again and again would hold up whoever asks meanwhile.
    gc.collect()
    gc.freeze()
    server.run()


if __name__ == "__main__":
    main()
