"""The database and the objects of this process, opened at first use: the service starts and answers without them; and
what its streams share.
"""

import threading
from typing import Annotated

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from api.live_logs import LiveLogs
from store.database.database import Database, open_database
from store.objects import ObjectStore, open_objects
from store.settings import Settings


class Backend:
    """Surroundings that the routes work with. A failed opening raises the store's error and is tried again by the next
    request.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.logs = LiveLogs()
        self._lock = threading.Lock()
        self._database: Database | None = None
        self._objects: ObjectStore | None = None

    @property
    def database(self) -> Database:
        """Return the database, opened by the first call. Raises StoreError."""
        with self._lock:
            if self._database is None:
                self._database = open_database(self.settings)
            return self._database

    @property
    def objects(self) -> ObjectStore:
        """Return the object store, opened by the first call. Raises StoreError."""
        with self._lock:
            if self._objects is None:
                self._objects = open_objects(self.settings)
            return self._objects

    async def opened_database(self) -> Database:
        """The database, for the event loop: opening it, which may take its time, is left to a thread."""
        if self._database is not None:
            return self._database
        return await run_in_threadpool(lambda: self.database)

    async def opened_objects(self) -> ObjectStore:
        """The objects, likewise."""
        if self._objects is not None:
            return self._objects
        return await run_in_threadpool(lambda: self.objects)

    def close(self) -> None:
        """Close what was opened."""
        with self._lock:
            if self._database is not None:
                self._database.close()
            self._database = self._objects = None


def backend_of(request: Request) -> Backend:
    """Return the backend of the request's application."""
    backend: Backend = request.app.state.backend
    return backend


# All dependencies are coroutines: each that is not costs a request a way to the thread pool and back.
async def _database(request: Request) -> Database:
    return await backend_of(request).opened_database()


async def _objects(request: Request) -> ObjectStore:
    return await backend_of(request).opened_objects()


async def _settings(request: Request) -> Settings:
    return backend_of(request).settings


Db = Annotated[Database, Depends(_database)]
Objects = Annotated[ObjectStore, Depends(_objects)]
Deployment = Annotated[Settings, Depends(_settings)]
