#!/usr/bin/env bash
# What becomes of a consumer group with an assignor of its own when one consumer of the new protocol (KIP-848, group.protocol=consumer)
# subscribes under its group.id: whether the assignments carry user data decides, and nobody is told the reason.
#   without user data: the broker converts the live group. It assigns by its own "uniform" assignor from then on, the members' assignor is
#     not asked any more, and neither side gets an error.
#   with user data (as of Faust): the broker refuses the newcomer with "The group id does not exist", while the group is there with a
#     member in it. librdkafka makes that fatal.
# Matters to whoever relies on an assignor of their own (an election by group, placement by rack): a stray consumer with their group.id
# takes the group over without a word; and the refusal, where it comes, sends its reader looking for a group that is missing.
# Versions: Kafka 4.1.0, confluent-kafka 2.16.1 (librdkafka 2.16.0), aiokafka 0.14.0. Seen 2026-11-30, of a member with 2 partitions:
#   user data b'': before classic, by-rack; newcomer: assigned 1 of 2; after consumer, uniform, 2 members, 1 partition left, asked 0 times
#   user data b'from the leader': before classic, by-rack; newcomer: Fatal error: Broker: The group id does not exist: ...;
#     after classic, by-rack, 1 member, 2 partitions left, asked 0 times
set -euo pipefail
work=$(mktemp -d)
started=()
cleanup() {
  local one
  for one in "${started[@]}"; do kill -9 "$one" 2>/dev/null || true; done
  for one in "${started[@]}"; do while kill -0 "$one" 2>/dev/null; do sleep 0.1; done; done
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
changed() { echo "NOT AS DESCRIBED ANY MORE: $*" >&2; exit 1; }
python_with() {  # a virtual environment with the pinned packages given
  python3 -m venv "$work/venv"
  "$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}
jars() {  # jars FOLDER group:artifact:version...: copies them and what they need into $work/FOLDER
  local folder=$1 item group artifact version; shift
  mkdir -p "$work/$folder"
  {
    echo '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
    echo '<groupId>finding</groupId><artifactId>jars</artifactId><version>1</version><dependencies>'
    for item in "$@"; do
      IFS=: read -r group artifact version <<<"$item"
      echo "<dependency><groupId>$group</groupId><artifactId>$artifact</artifactId><version>$version</version></dependency>"
    done
    echo '</dependencies></project>'
  } >"$work/$folder.pom.xml"
  mvn --quiet --batch-mode --file "$work/$folder.pom.xml" \
    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DoutputDirectory="$work/$folder" >"$work/mvn.log" 2>&1 ||
    { cat "$work/mvn.log" >&2; exit 2; }
}
kafka_up() {  # kafka_up VERSION BROKERS: starts that many on free loopback ports; sets $servers and pid[1..]
  local version=$1 size=$2 n voters="" replicas least=1
  jars kafka "org.apache.kafka:kafka_2.13:$version" org.apache.logging.log4j:log4j-slf4j-impl:2.24.3 org.apache.logging.log4j:log4j-core:2.24.3
  printf '%s\n' 'rootLogger.level = error' 'rootLogger.appenderRef.c.ref = c' 'appender.c.type = Console' 'appender.c.name = c' \
    'appender.c.layout.type = PatternLayout' 'appender.c.layout.pattern = %d %p %m%n' >"$work/log4j2.properties"
  jvm=(java -Xmx300m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "-Dlog4j2.configurationFile=file://$work/log4j2.properties" -cp "$work/kafka/*")
  read -r -a port <<<"$(python3 -c '
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(2 * int(sys.argv[1]))]
print(*[s.getsockname()[1] for s in held])' "$size")"
  replicas=$size; [ "$size" -lt 3 ] || least=2
  for ((n = 1; n <= size; n++)); do voters+="${voters:+,}$n@127.0.0.1:${port[size + n - 1]}"; done
  servers=""; pid=(0)
  for ((n = 1; n <= size; n++)); do
    servers+="${servers:+,}127.0.0.1:${port[n - 1]}"
    cat >"$work/broker$n.properties" <<END
process.roles=broker,controller
node.id=$n
controller.quorum.voters=$voters
listeners=CLIENT://127.0.0.1:${port[n - 1]},CONTROLLER://127.0.0.1:${port[size + n - 1]}
advertised.listeners=CLIENT://127.0.0.1:${port[n - 1]}
listener.security.protocol.map=CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=CLIENT
controller.listener.names=CONTROLLER
log.dirs=$work/data$n
default.replication.factor=$replicas
min.insync.replicas=$least
offsets.topic.replication.factor=$replicas
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=$replicas
transaction.state.log.min.isr=$least
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=33554432
END
    "${jvm[@]}" kafka.tools.StorageTool format --cluster-id AAAAAAAAAAAAAAAAAAAAAQ --config "$work/broker$n.properties" >"$work/format.log" 2>&1 ||
      { cat "$work/format.log" >&2; exit 2; }
    "${jvm[@]}" kafka.Kafka "$work/broker$n.properties" >"$work/broker$n.log" 2>&1 &
    pid[n]=$!; started+=($!); disown
  done
  for ((n = 1; n <= size; n++)); do
    for ((i = 0; i < 300; i++)); do
      (: <"/dev/tcp/127.0.0.1/${port[n - 1]}") 2>/dev/null && break
      kill -0 "${pid[n]}" 2>/dev/null || { cat "$work/broker$n.log" >&2; exit 2; }
      sleep 0.2
    done
  done
}

python_with confluent-kafka==2.16.1 aiokafka==0.14.0
kafka_up 4.1.0 1
cat >"$work/join.py" <<'END'
import asyncio, logging, sys, time
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from confluent_kafka import Consumer, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

logging.disable(logging.CRITICAL)
servers = sys.argv[1]
quiet = {"bootstrap.servers": servers, "log_level": 0}
admin = AdminClient(quiet)


def within(seconds, ready):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if ready():
                return
        except KafkaException:
            pass
        time.sleep(0.2)
    sys.exit("the broker did not get ready in time")


within(60, lambda: admin.list_topics(timeout=5).brokers)
for done in admin.create_topics([NewTopic("bars", 2, 1)]).values():
    done.result(30)


def assignor(user_data):
    class ByRack(RoundRobinPartitionAssignor):
        name = "by-rack"
        asked, given = 0, None

        @classmethod
        def metadata(cls, topics):
            return ConsumerProtocolMemberMetadata(cls.version, list(topics), b"rack-1")

        @classmethod
        def assign(cls, cluster, members):
            cls.asked += 1
            everything = [("bars", [0, 1])]
            return {member: ConsumerProtocolMemberAssignment(0, everything, user_data) for member in members}

        @classmethod
        def on_assignment(cls, assignment):
            cls.given = assignment

    return ByRack


def group_now(name):
    found = admin.describe_consumer_groups([name])[name].result()
    return found.type.name.lower(), found.partition_assignor, len(found.members)


async def join(user_data):
    own, name = assignor(user_data), f"group-{len(user_data)}"
    first = AIOKafkaConsumer("bars", bootstrap_servers=servers, group_id=name, partition_assignment_strategy=[own],
                             session_timeout_ms=6000, heartbeat_interval_ms=300)
    await first.start()
    while own.given is None:
        await asyncio.sleep(0.1)
    before = (*group_now(name)[:2], len(first.assignment()))
    own.asked = 0
    newcomer = Consumer({**quiet, "group.id": name, "group.protocol": "consumer"})
    newcomer.subscribe(["bars"])
    outcome, end = None, time.monotonic() + 60
    while outcome is None and time.monotonic() < end:
        message = await asyncio.to_thread(newcomer.poll, 0.2)
        await first.getmany(timeout_ms=10)
        if message is not None and message.error():
            outcome = message.error().str()
        elif newcomer.assignment():
            outcome = f"assigned {len(newcomer.assignment())} of 2"
    await asyncio.sleep(3)
    after = (*group_now(name), len(first.assignment()), own.asked)
    print(f"user data {user_data}: before {before}; newcomer: {outcome}; after {after}", flush=True)
    newcomer.close()
    await first.stop()
    return before, outcome, after


async def main():
    alone = ("classic", "by-rack", 2)
    before, outcome, after = await join(b"")
    assert before == alone and outcome == "assigned 1 of 2" and after == ("consumer", "uniform", 2, 1, 0), "without user data"
    before, outcome, after = await join(b"from the leader")
    assert before == alone and "The group id does not exist" in outcome and after == ("classic", "by-rack", 1, 2, 0), "with user data"


asyncio.run(main())
END
"$work/venv/bin/python" "$work/join.py" "$servers" || changed "a KIP-848 consumer joins a classic group otherwise"
echo "as described: a KIP-848 consumer takes a live group from its assignor, or is told that the group does not exist"
