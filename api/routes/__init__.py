"""One thin file a noun: read the request, ask the store, shape the answer."""
