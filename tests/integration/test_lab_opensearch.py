"""The lab's OpenSearch: what tests of the rest may rely on."""

import pytest
from opensearchpy import ConflictError, OpenSearch

from tests.lab import OpenSearchServer

pytestmark = pytest.mark.opensearch


def test_stale_external_version_is_refused(
    opensearch_server: OpenSearchServer, opensearch_prefix: str
) -> None:
    index = f"{opensearch_prefix}versions"
    with OpenSearch(opensearch_server.url) as client:
        newer = {"version": 2, "version_type": "external"}
        client.index(index=index, id="1", body={"n": 2}, params=newer)

        with pytest.raises(ConflictError):
            client.index(index=index, id="1", body={"n": 1}, params=newer | {"version": 1})

        assert client.get(index=index, id="1")["_source"] == {"n": 2}


def test_text_is_found_by_word(opensearch_server: OpenSearchServer, opensearch_prefix: str) -> None:
    index = f"{opensearch_prefix}words"
    with OpenSearch(opensearch_server.url) as client:
        client.index(index=index, id="1", body={"title": "Red bicycle"}, params={"refresh": "true"})

        found = client.search(index=index, body={"query": {"match": {"title": "bicycle"}}})

        assert [hit["_id"] for hit in found["hits"]["hits"]] == ["1"]


def test_indexes_of_a_prefix_are_deleted(opensearch_server: OpenSearchServer) -> None:
    with OpenSearch(opensearch_server.url) as client:
        client.indices.create(index="gone-1")
        client.indices.create(index="stays-1")

        opensearch_server.delete_indexes("gone-")

        assert not client.indices.exists(index="gone-1")
        assert client.indices.exists(index="stays-1")
        opensearch_server.delete_indexes("stays-")


@pytest.mark.slow
def test_killed_node_keeps_its_documents_and_address() -> None:
    with OpenSearchServer.start() as server:
        url = server.url
        with OpenSearch(url) as client:
            client.index(index="kept", id="1", body={"n": 1})

        server.kill()
        assert not server.is_running
        server.start_again()

        assert url == server.url
        with OpenSearch(url) as client:
            assert client.get(index="kept", id="1")["_source"] == {"n": 1}
