"""The database schema and its way from one release to the next."""
