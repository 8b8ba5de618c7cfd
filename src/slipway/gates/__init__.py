"""Checks that no linter on the index makes: called by hooks and by the noxfile."""
