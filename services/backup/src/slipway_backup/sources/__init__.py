"""What is backed up: each source has its backup, restore and verification beside each other."""
