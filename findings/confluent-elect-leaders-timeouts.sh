#!/usr/bin/env bash
# AdminClient.elect_leaders of confluent-kafka 2.16.1 documents request_timeout and operation_timeout, and fails with either of
# them before anything is sent: "SystemError: more argument specifiers than keyword list entries". Without both it works; with
# both it is a TypeError. All other calls of the client take request_timeout.
# Matters to whoever moves leaders back after a restart or a reassignment: a script that sets a time-out, as for every other
# call, elects nobody, and the error does not name the argument. Leave both out, and wait for the future with a time-out.
# Versions: confluent-kafka 2.16.1 (Python 3.11). Seen 2026-11-30:
#   {}: Future; {'request_timeout'}: SystemError; {'operation_timeout'}: SystemError; both: TypeError
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
changed() { echo "NOT AS DESCRIBED ANY MORE: $*" >&2; exit 1; }
python_with() {  # a virtual environment with the pinned packages given
  python3 -m venv "$work/venv"
  "$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}

cat >"$work/elect.py" <<'END'
from confluent_kafka import ElectionType, TopicPartition
from confluent_kafka.admin import AdminClient

# Nobody listens there: the call only has to take its arguments, as describe_topics and the others do.
admin = AdminClient({"bootstrap.servers": "127.0.0.1:1", "log_level": 0})


def outcome(**timeouts):
    try:
        return type(admin.elect_leaders(ElectionType.PREFERRED, [TopicPartition("bars.SPY", 0)], **timeouts)).__name__
    except (SystemError, TypeError) as error:
        return type(error).__name__


found = [outcome(), outcome(request_timeout=5.0), outcome(operation_timeout=5.0), outcome(request_timeout=5.0, operation_timeout=5.0)]
print("none, request_timeout, operation_timeout, both:", *found)
assert "request_timeout" in AdminClient.elect_leaders.__doc__ and "operation_timeout" in AdminClient.elect_leaders.__doc__
assert found == ["Future", "SystemError", "SystemError", "TypeError"], found
END
python_with confluent-kafka==2.16.1
"$work/venv/bin/python" "$work/elect.py" || changed "elect_leaders takes its time-outs, or fails otherwise"
echo "as described: elect_leaders takes neither of its time-outs"
