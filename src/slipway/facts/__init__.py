"""What is: the engine, the registry, the host and the ledger, read into frozen dataclasses."""
