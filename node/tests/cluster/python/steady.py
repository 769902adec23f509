"""Writes and reads for a while and lets no error pass: steady.py PORT SECONDS."""

import sys
import time

import redis

port, seconds = int(sys.argv[1]), float(sys.argv[2])
r = redis.Redis(host="localhost", port=port)
end = time.monotonic() + seconds
calls, worst = 0, 0.0
while time.monotonic() < end:
    begun = time.monotonic()
    r.set("steady", calls)
    assert r.get("steady") == str(calls).encode()
    worst = max(worst, time.monotonic() - begun)
    calls += 1
print(f"{calls} calls, the slowest took {worst * 1000:.0f} ms")
assert calls > 50
print("done")
