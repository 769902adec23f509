"""redis-py against one node: plain.py PORT PROTOCOL."""

import sys

import redis

port, protocol = int(sys.argv[1]), int(sys.argv[2])
r = redis.Redis(host="localhost", port=port, db=0, protocol=protocol)
prefix = f"plain:{port}:{protocol}:"


def key(name):
    return prefix + name


assert r.ping() is True
assert r.echo("hello") == b"hello"

# Strings, and every option of SET.
assert r.set(key("a"), "value") is True
assert r.get(key("a")) == b"value"
assert r.get(key("missing")) is None
assert r.set(key("a"), "other", nx=True) is None
assert r.set(key("b"), "other", xx=True) is None
assert r.set(key("a"), "newer", get=True) == b"value"
assert r.set(key("a"), "kept", ex=100) is True
assert 95 <= r.ttl(key("a")) <= 100
assert r.set(key("a"), "kept still", keepttl=True) is True
assert 95 <= r.ttl(key("a")) <= 100
assert r.set(key("a"), "for ever") is True
assert r.ttl(key("a")) == -1
assert r.pttl(key("missing")) == -2
assert r.type(key("a")) == b"string"
assert r.type(key("missing")) == b"none"

# Bytes of every value, and nothing at all.
every = bytes(range(256)) * 4
assert r.set(key("bytes"), every) and r.get(key("bytes")) == every
assert r.set(key("empty"), "") and r.get(key("empty")) == b""
assert r.set(every, "v") and r.get(every) == b"v" and r.delete(every) == 1
large = bytes(i * 7 % 251 for i in range(1 << 16)) * 128
assert len(large) == 8 << 20
assert r.set(key("large"), large) and r.get(key("large")) == large

# Counters.
assert r.incr(key("n")) == 1
assert r.incrby(key("n"), 41) == 42
assert r.decr(key("n"), 2) == 40
try:
    r.incr(key("bytes"))
except redis.ResponseError as error:
    assert "not an integer" in str(error), error
else:
    raise AssertionError("INCR of bytes succeeded")

# Several keys at once.
assert r.mset({key("x"): "1", key("y"): "2"}) is True
assert r.mget(key("x"), key("y"), key("z")) == [b"1", b"2", None]
assert r.exists(key("x"), key("x"), key("z")) == 2
assert r.delete(key("x"), key("z")) == 1

# Time to live.
assert r.expire(key("y"), 100) is True
assert r.expire(key("missing"), 100) is False
assert r.persist(key("y")) is True
assert r.ttl(key("y")) == -1
assert r.pexpire(key("y"), 50_000) is True
assert 45_000 <= r.pttl(key("y")) <= 50_000

# Pipelines, without MULTI.
with r.pipeline(transaction=False) as pipe:
    for i in range(1000):
        pipe.set(key(f"p{i % 10}"), i)
        pipe.get(key(f"p{i % 10}"))
    replies = pipe.execute()
assert replies == [reply for i in range(1000) for reply in (True, str(i).encode())]
with r.pipeline(transaction=False) as pipe:
    pipe.set(key("a"), "v").execute_command("NOSUCHCOMMAND").get(key("a"))
    ok, error, value = pipe.execute(raise_on_error=False)
assert ok is True and value == b"v" and isinstance(error, redis.ResponseError), error

# Names, ids, decoding.
named = redis.Redis(host="localhost", port=port, protocol=protocol, client_name="me", decode_responses=True)
assert named.client_getname() == "me"
assert named.client_id() > 0
assert any(client["name"] == "me" for client in named.client_list())
assert named.set(key("ü"), "grün") and named.get(key("ü")) == "grün"

print("done")
