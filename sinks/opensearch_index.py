"""The index behind an alias, and the alias: looked at, made, and given new fields."""

from collections.abc import Mapping
from typing import Any

from opensearchpy import OpenSearch, exceptions

from cdc.errors import SchemaError, SinkRefused
from cdc.protocols import Finding
from sinks.opensearch_bulk import reason_of_request


def mapping_behind(client: OpenSearch, alias: str) -> dict[str, Any] | None:
    """The mapping behind the alias, None when there is no alias. Raises SinkRefused."""
    if not client.indices.exists_alias(name=alias):
        if client.indices.exists(index=alias):
            raise SinkRefused(
                f"{alias} is an index and no alias",
                hint=f"Delete the index {alias}, or name another one under `index`.",
            )
        return None
    found = client.indices.get_mapping(index=alias)
    if len(found) != 1:
        raise SinkRefused(
            f"the alias {alias} stands for {len(found)} indexes",
            hint="Leave the one that is to be written behind the alias.",
        )
    (content,) = found.values()
    return dict(content["mappings"])


def make(
    client: OpenSearch, alias: str, fields: Mapping[str, object], settings: Mapping[str, object]
) -> None:
    """Make `<alias>_v1` with the alias on it, at once. Nothing to do when another worker has.

    Raises SchemaError for what OpenSearch does not take, SinkRefused for an index without alias.
    """
    index = f"{alias}_v1"
    body = {
        "settings": {"index": settings},
        "mappings": {"properties": fields},
        "aliases": {alias: {"is_write_index": True}},
    }
    try:
        client.indices.create(index=index, body=body)
    except exceptions.RequestError as error:
        if error.error != "resource_already_exists_exception":
            raise SchemaError(
                f"no index can be made for {alias}: {reason_of_request(error)}",
                hint="Correct the sink's `mappings` and `settings`.",
            ) from error
        if not client.indices.exists_alias(name=alias):
            action = f'{{"actions":[{{"add":{{"index":"{index}","alias":"{alias}"}}}}]}}'
            raise SinkRefused(
                f"the index {index} exists without the alias {alias}",
                hint=f"Delete the index, or put the alias on it: POST /_aliases {action}",
            ) from error


def put_mapping(client: OpenSearch, alias: str, content: Mapping[str, object]) -> None:
    """Add to the mapping behind the alias. Raises SchemaError."""
    try:
        client.indices.put_mapping(index=alias, body=content)
    except exceptions.RequestError as error:
        raise SchemaError(
            f"the index behind {alias} cannot take new fields: {reason_of_request(error)}"
        ) from error


def alias_finding(client: OpenSearch, alias: str, tombstone_s: int) -> Finding:
    """What a check says about the alias. Raises SinkRefused as `mapping_behind` does."""
    if mapping_behind(client, alias) is None:
        return Finding("ok", "opensearch-index", alias, "the index and its alias will be made")
    (about,) = client.indices.get_settings(
        index=alias, params={"flat_settings": "true", "include_defaults": "true"}
    ).values()
    held = {**about.get("defaults", {}), **about["settings"]}["index.gc_deletes"]
    wanted = f"{tombstone_s}s"
    if held != wanted:
        message = f"versions of deleted documents are remembered for {held}, not {wanted}"
        fix = f'PUT /{alias}/_settings {{"index.gc_deletes": "{wanted}"}}'
        return Finding("warning", "opensearch-tombstones", alias, message, fix)
    return Finding("ok", "opensearch-index", alias, "the alias stands for one index")
