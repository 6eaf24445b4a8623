"""The history of the tables. `store.migrate` applies it when a database is opened."""
