#!/usr/bin/env bash
# uvicorn with `--workers 2` on asyncio's own loop takes 44 ms for each request on a connection that is kept, and less than 1 ms with
# one process. For several workers it makes the listening socket itself, with `socket.socket(family)`, whose `proto` is 0; asyncio turns
# Nagle's algorithm off only on sockets whose `proto` is IPPROTO_TCP. Head and body of an answer are two writes, so the body
# waits until the client's delayed acknowledgment of the head. A new connection for each request hides it.
# Matters to whoever serves prices, features, or orders with FastAPI or Starlette where uvloop is not installed: more workers make each
# client slower by a factor of 100, and load tests that open a connection for each request don't show it.
# Versions: uvicorn 0.54.0, h11 0.16.0, CPython 3.11.7, Linux 6.18. Seen 2026-11-30, median of 40 requests, ms:
#   one process, one kept connection          0.2
#   two workers, one kept connection          44.0
#   two workers, a connection each            0.5
set -euo pipefail
work=$(mktemp -d)
server=""
cleanup() {
  if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
changed() { echo "NOT AS DESCRIBED ANY MORE: $*" >&2; exit 1; }

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uvicorn==0.54.0 h11==0.16.0

cat >"$work/app.py" <<'END'
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
END

cat >"$work/ask.py" <<'END'
import http.client
import statistics
import sys
import time

PORT, KEPT, COUNT = int(sys.argv[1]), sys.argv[2] == "kept", 40


def ask(connection):
    connection.request("GET", "/")
    assert connection.getresponse().read() == b"ok"


deadline = time.monotonic() + 60
while True:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
        ask(connection)
        break
    except OSError:
        if time.monotonic() > deadline:
            raise
        time.sleep(0.1)
took = []
for _ in range(COUNT):
    began = time.perf_counter()
    if not KEPT:
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
    ask(connection)
    took.append((time.perf_counter() - began) * 1000)
print(f"{statistics.median(took):.1f}")
END

serve() { # port, further options
  (cd "$work" && exec "$work/venv/bin/python" -m uvicorn app:app --loop asyncio --http h11 --log-level error --port "$@") &
  server=$!
}
stop() { kill "$server"; wait "$server" 2>/dev/null || true; server=""; }
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

first=$(port)
serve "$first"
one=$("$work/venv/bin/python" "$work/ask.py" "$first" kept)
stop
second=$(port)
serve "$second" --workers 2
two=$("$work/venv/bin/python" "$work/ask.py" "$second" kept)
each=$("$work/venv/bin/python" "$work/ask.py" "$second" each)
stop

echo "one process, one kept connection     $one ms"
echo "two workers, one kept connection     $two ms"
echo "two workers, a connection each       $each ms"
awk -v a="$one" -v b="$two" -v c="$each" 'BEGIN { exit !(b > 35 && a < b / 2 && c < b / 2) }' ||
  changed "a kept connection with two workers no longer takes 40 ms a request"
