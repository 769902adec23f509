"""What a node says of itself, as redis-py parses it: overview.py PORT MODE ROLE LEADER."""

import sys

import redis

port, mode, role, leader = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
r = redis.Redis(host="127.0.0.1", port=port, decode_responses=True)

info = r.info()
for field in [
    "redis_version", "redis_mode", "run_id", "tcp_port", "uptime_in_seconds", "connected_clients",
    "used_memory", "used_memory_human", "loading", "role", "master_repl_offset",
]:
    assert field in info, f"INFO lacks {field}: {sorted(info)}"
assert info["redis_version"].startswith("7.2."), info["redis_version"]
assert info["redis_mode"] == mode, info["redis_mode"]
assert info["loading"] == 0
assert info["tcp_port"] == port
assert info["role"] == role, info["role"]
replication = r.info("replication")
assert replication["role"] == role
if role == "master":
    assert replication["connected_slaves"] == 2, replication
    assert isinstance(replication["slave0"], dict), replication
else:
    assert replication["master_port"] == leader, replication
    assert replication["master_link_status"] == "up", replication
assert r.info("keyspace")["db0"]["keys"] >= 1

said = r.role()
assert said[0] == role, said
if role == "slave":
    assert int(said[2]) == leader, said
else:
    assert len(said[2]) == 2, said

commands = r.command()
for name in ["get", "set", "incrby", "mget", "cluster", "hello", "command"]:
    assert name in commands, f"COMMAND lacks {name}"
assert commands["get"]["first_key_pos"] == 1 and "readonly" in commands["get"]["flags"]
assert commands["mset"]["step_count"] == 2
assert r.command_count() == len(commands)
assert r.command_getkeys("MSET", "a", "1", "b", "2") == ["a", "b"]
assert "get" in r.command_list()

# redis-py refuses CLUSTER commands on a plain client in some versions; ask by hand.
slots = r.execute_command("CLUSTER SLOTS")
assert r.execute_command("CLUSTER KEYSLOT", "key") == 12539
nodes = r.execute_command("CLUSTER NODES")
assert len(nodes) == 3, nodes
masters = [node for node in nodes.values() if "master" in node["flags"]]
assert len(masters) == 1 and masters[0]["slots"] == [["0", "16383"]], nodes
assert sum("myself" in node["flags"] for node in nodes.values()) == 1, nodes
assert str(leader) in next(a for a, n in nodes.items() if "master" in n["flags"])
cluster = r.execute_command("CLUSTER INFO")
assert cluster["cluster_state"] == "ok" and cluster["cluster_slots_ok"] == "16384", cluster
assert len(r.execute_command("CLUSTER MYID")) == 40

assert r.config_get("databases"), "CONFIG GET databases"
assert r.config_get("*")
seconds, micros = r.time()
assert seconds > 1_600_000_000 and 0 <= micros < 1_000_000
assert r.client_info()["id"] > 0
assert r.wait(0, 100) >= 0
print("done")
