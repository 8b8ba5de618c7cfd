"""One member of the data tier: its settings from its container, and what a release asks of it."""
