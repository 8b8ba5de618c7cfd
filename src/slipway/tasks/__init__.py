"""Invoke collections, one noun per file; a task is a page of sentences."""
