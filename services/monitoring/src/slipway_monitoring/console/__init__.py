"""The console: the state of the environment on one page, for people who keep it open."""
