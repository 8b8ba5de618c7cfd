"""The state of an environment, kept in a volume on its own engine."""
