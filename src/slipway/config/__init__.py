"""Settings, typed and checked once at the door."""
