"""redis-py's cluster client, seeded with one node: cluster.py PORT PROTOCOL."""

import sys

import redis
from redis.cluster import ClusterNode, RedisCluster

port, protocol = int(sys.argv[1]), int(sys.argv[2])
seed = [ClusterNode("127.0.0.1", port)]
r = RedisCluster(startup_nodes=seed, protocol=protocol)

nodes = r.get_nodes()
assert len(nodes) == 3, nodes
assert len(r.get_primaries()) == 1 and len(r.get_replicas()) == 2, nodes

for i in range(300):
    key = f"c:{port}:{protocol}:{i}"
    assert r.set(key, i) is True
    assert r.get(key) == str(i).encode()
assert r.incr(f"{{c:{port}:{protocol}}}:n", 3) == 3
assert r.mset_nonatomic({f"m:{i}": i for i in range(50)})
assert r.mget_nonatomic(*[f"m:{i}" for i in range(50)]) == [str(i).encode() for i in range(50)]

with r.pipeline(transaction=False) as pipe:
    for i in range(200):
        pipe.set(f"cp:{i}", i)
        pipe.get(f"cp:{i}")
    replies = pipe.execute()
assert replies == [reply for i in range(200) for reply in (True, str(i).encode())]

# Reads from replicas are linearizable as well.
replicas = RedisCluster(startup_nodes=seed, protocol=protocol, read_from_replicas=True)
for i in range(200):
    assert replicas.set("rr", i) is True
    assert replicas.get("rr") == str(i).encode()

assert r.cluster_keyslot("key") == 12539
print("done")
