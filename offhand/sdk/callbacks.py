"""Callbacks that report progress."""

from collections.abc import Callable

from offhand.documents import Job

#: Called with a job each time it has changed.
OnJob = Callable[[Job], None]
#: Called with the bytes transferred so far and the total.
OnBytes = Callable[[int, int], None]
