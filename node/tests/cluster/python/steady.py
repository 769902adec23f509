"""Writes and reads for a while: steady.py PORT SECONDS.

The one error it accepts is that of a write whose outcome nobody can know.
"""

import sys
import time

import redis

port, seconds = int(sys.argv[1]), float(sys.argv[2])
r = redis.Redis(host="localhost", port=port)
r.set("steady", "first")
print("begun", flush=True)
end = time.monotonic() + seconds
calls, unknown, worst = 0, 0, 0.0
possible = {b"first"}
while time.monotonic() < end:
    begun = time.monotonic()
    value = str(calls).encode()
    try:
        r.set("steady", value)
        possible = {value}
    except redis.ResponseError as error:
        assert str(error).startswith("UNKNOWN "), error
        possible.add(value)
        unknown += 1
    read = r.get("steady")
    assert read in possible, (read, possible)
    possible = {read}
    worst = max(worst, time.monotonic() - begun)
    calls += 1
print(f"{calls} calls, {unknown} unknown, the slowest took {worst * 1000:.0f} ms")
assert calls > 50
# One client has one write under way when its leader dies.
assert unknown <= 1, unknown
print("done")
