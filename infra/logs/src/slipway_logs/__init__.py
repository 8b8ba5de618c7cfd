"""The log store of an environment, and who brings it what the engine keeps of the containers."""
