"""Bulk upload: a folder into a collection, resumable, by `slipway-backend ingest`."""
