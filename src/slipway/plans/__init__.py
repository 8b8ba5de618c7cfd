"""What should be done: want and have in, a plan out; nothing here starts a process."""
