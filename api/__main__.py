"""`python -m api`: the service on the address of the settings."""

import gc
import sys

import uvicorn

from api import logs
from api.app import create_app
from api.protocol.uvicorn_server import config
from store.settings import Settings


def main() -> None:
    """Serve the API."""
    settings = Settings()
    logs.configure(settings.log_level)
    server = uvicorn.Server(config(create_app(settings), settings.api.host, settings.api.port))
    # What is there by now stays: looking through all of it again and again would hold up whoever asks meanwhile.
    gc.collect()
    gc.freeze()
    # A thread gives way at each statement, and then waits this long while the event loop has work: at Python's own 5 ms
    # a line of requests, once there is one, grows by itself.
    sys.setswitchinterval(0.0005)
    server.run()


if __name__ == "__main__":
    main()
