"""Command lines as tuples of arguments, built by pure functions."""
