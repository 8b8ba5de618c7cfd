"""One collection or one document of a recovery point, put back among what is there now."""
