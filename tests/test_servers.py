"""The servers that other tests lean on: they start, answer, survive being killed, and start again."""

import kombu
import psycopg
import pytest
import redis

from tests.servers import PostgresServer, RabbitServer, RedisServer


def _select_one(url: str) -> object:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        row = connection.execute("SELECT 1").fetchone()
    return row[0] if row else None


def test_postgres_is_killed_and_keeps_what_was_committed(postgres_server: PostgresServer, postgres_url: str) -> None:
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        connection.execute("CREATE TABLE kept (value int)")
        connection.execute("INSERT INTO kept VALUES (7)")
    postgres_server.kill()
    with pytest.raises(psycopg.OperationalError):
        _select_one(postgres_url)
    postgres_server.start()
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        assert connection.execute("SELECT value FROM kept").fetchall() == [(7,)]


def test_redis_answers_and_restarts_empty(redis_server: RedisServer) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        client.set("key", "value")
        assert client.get("key") == b"value"
    redis_server.kill()
    redis_server.start()
    with redis.Redis.from_url(redis_server.url) as client:
        assert client.get("key") is None


def test_rabbitmq_answers_and_restarts(rabbit_server: RabbitServer) -> None:
    for _ in range(2):
        with kombu.Connection(rabbit_server.url, connect_timeout=5) as connection:
            queue = connection.SimpleQueue("hints")
            queue.put("shard")
            assert queue.get(timeout=5).payload == "shard"
            queue.close()
        rabbit_server.kill()
        rabbit_server.start()
