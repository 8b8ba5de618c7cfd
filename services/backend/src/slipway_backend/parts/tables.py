"""Which tables hold what belongs to a document or a collection, and what is done with their rows.

Whoever adds a table that refers to one of them decides here; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping

#: Tables whose rows are put back, and how.
PUT_BACK: Mapping[str, str] = {
    "collections": "where it was deleted: under its number, when that is free",
    "documents": "where it was deleted or is another one now",
    "chunks": "those of the embedding set that is served, under new numbers; others are made anew",
    "upload_keys": "where the user is still there and has not used the key for something else",
    "grants": "with a collection that was deleted, for users and groups that are still there",
}
#: Tables that are named by rows above and stay as they are.
REFERRED: Mapping[str, str] = {
    "users": "a document whose owner was deleted has none, as if that had happened after",
    "groups": "one that was made anew under the name of another one is not that one",
    "embedding_sets": "a point's set is one of those here, or of no use",
}
#: Columns that name documents or collections without a foreign key, outside of the tables above.
LEFT: Mapping[str, str] = {
    "api_keys.collections": "a key goes on with a collection that comes back under its number",
    "audit.collections": "the log tells what happened, by names",
}
