"""Recovery points of an environment: taken, kept, proven by restoring, and restored."""
