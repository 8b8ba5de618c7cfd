from __future__ import annotations

import pytest

from slipway_backend.api.audit import action_of


@pytest.mark.parametrize(
    ("method", "template", "action"),
    [
        ("GET", "/v1/documents", "document.list"),
        ("GET", "/v1/documents/{document_id}", "document.read"),
        ("POST", "/v1/documents", "document.create"),
        ("DELETE", "/v1/groups/{group_id}/members/{user_id}", "member.delete"),
        ("PATCH", "/v1/collections/{name}", "collection.update"),
        ("POST", "/v1/query", "query"),
        ("POST", "/v1/chat/completions", "chat"),
        ("POST", "/v1/logout", "logout"),
    ],
)
def test_every_route_is_an_action_of_its_own_name(method: str, template: str, action: str) -> None:
    assert action_of(method, template) == action
