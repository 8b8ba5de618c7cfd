"""The keeper: on the machine of a second repository, with nothing of the environment trusted."""
