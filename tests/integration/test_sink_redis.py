"""The redis sink on a real server: what readers see, and servers that fail."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest
import redis

from cdc.errors import SchemaError, SinkRefused, TransientError
from cdc.protocols import Delete, Mutation, Patch, SinkContext, Upsert
from cdc.schema import TableSchema
from cdc.secret import Secret
from cdc.testing.sink_histories import TABLE, TARGET, delete, patch, product, truncate, upsert
from sinks.redis import Config, RedisSink, create
from tests.lab.redis import RedisServer

pytestmark = pytest.mark.redis

KEY = f"{TARGET}:1"
ORDERS = TableSchema("shop", "public", "orders", TABLE.columns, key=(0,))


def make(url: str, folder: Path, template: str | None = None, **options: Any) -> RedisSink:
    context = SinkContext("shop", "cache", folder, {"*": template})
    return create(Config(url=Secret(url), **options), context)


@pytest.fixture
def client(redis_database: str) -> Iterator[Any]:
    with redis.Redis.from_url(redis_database, decode_responses=True) as client:
        yield client


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """A server that may be stopped and reconfigured, and keeps what it has acknowledged."""
    with RedisServer.start(appendonly=True) as server:
        yield server


def settings_of(server: RedisServer) -> Any:
    return redis.Redis.from_url(server.url, decode_responses=True)


def test_a_json_document_is_read_by_get(redis_database: str, client: Any, tmp_path: Path) -> None:
    with closing(make(redis_database, tmp_path)) as sink:
        sink.write([upsert(1, 10)])

    assert json.loads(client.get(KEY)) == product(1)
    assert client.ttl(KEY) == -1


def test_a_template_is_the_whole_key(redis_database: str, client: Any, tmp_path: Path) -> None:
    with closing(make(redis_database, tmp_path, "product:{id}")) as sink:
        sink.write([Mutation(TARGET, "product:1", 10, Upsert(product(1)))])

    assert json.loads(client.get("product:1")) == product(1)


def test_a_hash_holds_text_as_text_and_the_rest_as_json(
    redis_database: str, client: Any, tmp_path: Path
) -> None:
    fields = {"name": "12", "tags": ["a"], "sold": True, "more": {}, "price": None}

    with closing(make(redis_database, tmp_path, value="hash")) as sink:
        sink.write([upsert(1, 10, **fields)])
        assert client.hgetall(KEY) == {
            "id": "1",
            "name": "12",
            "tags": '["a"]',
            "sold": "true",
            "more": "{}",
        }

        sink.write([patch(1, 20, sold=None, price=2.5)])
        assert client.hgetall(KEY) == {
            "id": "1",
            "name": "12",
            "tags": '["a"]',
            "more": "{}",
            "price": "2.5",
        }


def test_a_hash_without_fields_is_still_a_document(
    redis_database: str, client: Any, tmp_path: Path
) -> None:
    with closing(make(redis_database, tmp_path, value="hash")) as sink:
        sink.write([Mutation(TARGET, "1", 10, Upsert({"name": None}))])
        assert not client.exists(KEY)

        assert list(sink.write([Mutation(TARGET, "1", 20, Patch({"name": "back"}))])) == []

    assert client.hgetall(KEY) == {"name": "back"}


def test_documents_live_as_long_as_told_and_their_versions_longer(
    redis_database: str, client: Any, tmp_path: Path
) -> None:
    with closing(make(redis_database, tmp_path, ttl_s=100, tombstone_s=50)) as sink:
        sink.write([upsert(1, 10)])

    (version_key,) = client.keys("cdc:*:1")
    assert 99_000 < client.pttl(KEY) <= 100_000
    assert 149_000 < client.pttl(version_key) <= 150_000


def test_a_tombstone_goes_by_itself(redis_database: str, client: Any, tmp_path: Path) -> None:
    with closing(make(redis_database, tmp_path, tombstone_s=50)) as sink:
        sink.write([upsert(1, 10), delete(1, 20)])

    (version_key,) = client.keys("*")
    assert 49_000 < client.pttl(version_key) <= 50_000


def test_a_patch_of_an_evicted_document_is_rejected(
    redis_database: str, client: Any, tmp_path: Path
) -> None:
    for value in ("json", "hash"):
        with closing(make(redis_database, tmp_path, value=value)) as sink:
            sink.write([upsert(1, 10)])
            client.delete(KEY)

            (rejected,) = sink.write([patch(1, 20, price=1.5)])

        assert "evicted" in rejected.reason
        assert not client.exists(KEY)
        client.flushdb()


def test_a_truncate_leaves_keys_of_others_alone(
    redis_database: str, client: Any, tmp_path: Path
) -> None:
    client.set("public.products:theirs", "x")
    client.set("cdc:shop/cache/elsewhere", "x")
    other = Mutation("public.products_old", "1", 5, Upsert(product(1)))

    with closing(make(redis_database, tmp_path)) as sink:
        sink.write([upsert(1, 10), other, truncate(20)])

    assert sorted(client.keys("public*")) == ["public.products:theirs", "public.products_old:1"]
    assert client.exists("cdc:shop/cache/elsewhere")


def test_a_script_that_the_server_forgot_is_sent_again(
    redis_database: str, client: Any, tmp_path: Path
) -> None:
    with closing(make(redis_database, tmp_path)) as sink:
        sink.write([upsert(1, 10)])
        client.script_flush()

        assert list(sink.write([upsert(1, 20, name="new"), delete(2, 21)])) == []

    assert json.loads(client.get(KEY))["name"] == "new"


def test_batches_are_cut_by_bytes_and_keep_their_order(
    redis_database: str, client: Any, tmp_path: Path
) -> None:
    with closing(make(redis_database, tmp_path, batch_bytes_max=1)) as sink:
        sink.write([upsert(1, 10), patch(1, 11, name="b"), patch(1, 12, price=2.5), upsert(2, 13)])

    assert json.loads(client.get(KEY)) == product(1, name="b", price=2.5)


def test_a_document_that_another_program_changes_meanwhile_is_not_overwritten(
    redis_database: str, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        closing(make(redis_database, tmp_path)) as sink,
        closing(make(redis_database, tmp_path)) as other,
    ):
        sink.write([upsert(1, 10)])
        read = sink._read_patched

        def read_late(*arguments: Any) -> Any:
            known = read(*arguments)
            other.write([upsert(1, 15, name="other")])
            return known

        monkeypatch.setattr(sink, "_read_patched", read_late)
        with pytest.raises(TransientError, match="another program changed"):
            sink.write([patch(1, 20, price=2.5)])

        monkeypatch.setattr(sink, "_read_patched", read)
        sink.write([patch(1, 20, price=2.5)])

    assert json.loads(client.get(KEY)) == product(1, name="other", price=2.5)


def test_two_tables_with_one_template_are_refused(redis_database: str, tmp_path: Path) -> None:
    with closing(make(redis_database, tmp_path, "item:{id}")) as sink:
        sink.apply_schema(TABLE)

        with pytest.raises(SchemaError, match="would share the keys"):
            sink.apply_schema(ORDERS)


def test_two_tables_without_a_template_do_not_meet(
    redis_database: str, client: Any, tmp_path: Path
) -> None:
    with closing(make(redis_database, tmp_path)) as sink:
        sink.apply_schema(TABLE)
        sink.apply_schema(ORDERS)
        sink.write([upsert(1, 10), Mutation("public.orders", "1", 5, Upsert({"id": 1}))])

    assert json.loads(client.get(KEY)) == product(1)
    assert json.loads(client.get("public.orders:1")) == {"id": 1}


def test_check_names_version_and_the_lack_of_durability(
    redis_database: str, tmp_path: Path
) -> None:
    with closing(make(redis_database, tmp_path)) as sink:
        codes = {finding.code: finding.severity for finding in sink.check()}

    assert codes == {"redis-connection": "ok", "redis-durability": "warning"}


def test_documents_survive_a_kill_and_the_sink_goes_on(
    own_server: RedisServer, tmp_path: Path
) -> None:
    with closing(make(own_server.url, tmp_path)) as sink:
        sink.write([upsert(1, 20), upsert(2, 21), delete(2, 22)])
        own_server.kill()
        with pytest.raises(TransientError, match="cannot be reached"):
            sink.write([upsert(3, 23)])
        own_server.start_again()

        assert list(sink.write([upsert(1, 10), upsert(2, 10), upsert(3, 23)])) == []

    with settings_of(own_server) as client:
        assert sorted(client.keys("public*")) == [KEY, f"{TARGET}:3"]


def test_a_server_without_memory_is_waited_for(own_server: RedisServer, tmp_path: Path) -> None:
    with closing(make(own_server.url, tmp_path)) as sink, settings_of(own_server) as client:
        sink.write([upsert(1, 10), upsert(2, 11)])
        client.config_set("maxmemory", "1")

        with pytest.raises(TransientError, match="OOM") as caught:
            sink.write([upsert(1, 20, name="new")])
        assert "maxmemory" in caught.value.hint
        assert json.loads(client.get(KEY)) == product(1)

        client.config_set("maxmemory", "0")
        sink.write([upsert(1, 20, name="new")])
        assert json.loads(client.get(KEY)) == product(1, name="new")


def test_check_warns_of_eviction_and_refuses_a_replica(
    own_server: RedisServer, tmp_path: Path
) -> None:
    with closing(make(own_server.url, tmp_path)) as sink, settings_of(own_server) as client:
        client.config_set("maxmemory", "100mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.replicaof("127.0.0.1", "1")

        found = {finding.code: finding.severity for finding in sink.check()}
        assert found["redis-eviction"] == "warning"
        assert found["redis-replica"] == "error"
        with pytest.raises(TransientError, match="READONLY"):
            sink.write([upsert(1, 10)])


def test_a_batch_waits_for_replicas_that_are_not_there(
    own_server: RedisServer, tmp_path: Path
) -> None:
    with (
        closing(make(own_server.url, tmp_path, replicas_min=1, timeout_s=0.2)) as sink,
        pytest.raises(TransientError, match="0 of 1 replicas"),
    ):
        sink.write([upsert(1, 10)])


def test_a_wrong_password_is_refused_without_showing_it(
    own_server: RedisServer, tmp_path: Path
) -> None:
    with settings_of(own_server) as client:
        client.config_set("requirepass", "right")
    password = tmp_path / "password"
    password.write_text("hunter2")

    with closing(make(own_server.url, tmp_path, password="hunter2")) as sink:
        with pytest.raises(SinkRefused) as caught:
            sink.write([upsert(1, 10)])
        (finding,) = sink.check()

    assert "password" in caught.value.hint
    assert "hunter2" not in f"{caught.value} {finding}"
    assert finding.severity == "error"
    with closing(make(own_server.url, tmp_path, password="right")) as sink:
        assert list(sink.write([upsert(1, 10)])) == []


def test_the_rights_in_the_documentation_are_enough_and_needed(
    own_server: RedisServer, tmp_path: Path
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "sinks" / "redis.md").read_text()
    rule = next(line for line in page.splitlines() if line.startswith("ACL SETUSER"))
    words = rule.removeprefix("ACL SETUSER ").split()
    with settings_of(own_server) as client:
        client.execute_command("ACL", "SETUSER", *words)
        options: dict[str, Any] = {"username": words[0], "password": "secret"}
        _use_all_rights(own_server.url, tmp_path, options)

        for right in [word for word in words if word.startswith("+")]:
            # Redis 6 cannot take a single subcommand away.
            command = right[1:].partition("|")[0]
            client.flushall()
            client.execute_command("ACL", "SETUSER", words[0], f"-{command}")
            with pytest.raises(SinkRefused, match="NOPERM"):
                _use_all_rights(own_server.url, tmp_path, options)
            client.execute_command("ACL", "SETUSER", words[0], right)


def _use_all_rights(url: str, folder: Path, options: dict[str, Any]) -> None:
    """Everything that the sink ever does. Raises SinkRefused."""
    for value, v in (("json", 100), ("hash", 200)):
        with closing(make(url, folder, value=value, ttl_s=60, **options)) as sink:
            for finding in sink.check():
                if finding.severity == "error":
                    raise SinkRefused(finding.message)
            sink.write([upsert(1, v), patch(1, v + 1, price=None), delete(1, v + 2)])
            sink.write([upsert(2, v + 3), truncate(v + 4)])


def test_a_server_that_is_not_there_is_transient(tmp_path: Path) -> None:
    with closing(make("redis://127.0.0.1:1/0", tmp_path)) as sink:
        with pytest.raises(TransientError, match="cannot be reached"):
            sink.write([delete(1, 1)])
        (finding,) = sink.check()

    assert (finding.code, finding.severity) == ("redis-connection", "error")


def test_a_foreign_type_under_a_key_is_replaced_by_an_upsert_only(
    redis_database: str, client: Any, tmp_path: Path
) -> None:
    client.rpush(KEY, "a list")
    with closing(make(redis_database, tmp_path, value="hash")) as sink:
        sink.write([upsert(1, 10)])
        assert client.hget(KEY, "name") == "product 1"
        client.delete(KEY)
        client.rpush(KEY, "a list")

        (rejected,) = sink.write([patch(1, 20, price=1.5)])

    assert "WRONGTYPE" in rejected.reason
    assert cast("str", client.type(KEY)) == "list"


def test_deletes_count_for_documents_never_seen(
    redis_database: str, client: Any, tmp_path: Path
) -> None:
    with closing(make(redis_database, tmp_path)) as sink:
        sink.write([Mutation(TARGET, "1", 20, Delete())])

        sink.write([upsert(1, 10)])

    assert client.keys("public*") == []
