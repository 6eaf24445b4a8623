"""The history of the tables. `store.database.migrate` applies it when a database is opened."""
