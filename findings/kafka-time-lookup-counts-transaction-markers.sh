#!/usr/bin/env bash
# Kafka's lookup of an offset by time (ListOffsets by timestamp: offsets_for_times, list_offsets with a time, offsetsForTimes) counts
# the COMMIT and ABORT markers of transactions, whose time is that of the commit. Ask a topic of bars of October 2013, written today in
# transactions, for the first record of 2013-10-08: the answer is the offset of the first transaction's marker, and the records that are
# read from there on are of 2013-10-07. The same records without transactions give the right offset. Its documentation promises "the earliest offset
# whose timestamp is greater than or equal to the given timestamp"; no consumer ever sees that offset.
# Matters to whoever seeks by time in a topic that a transactional producer backfilled (Kafka Streams, Flink, MirrorMaker with
# exactly once): reading starts up to the whole topic too early, so old records arrive as if they were of the day. It also makes
# "None: no record is that late" impossible: a time after the last record gives a marker too. Look at the record that comes first.
# Versions: confluent-kafka 2.16.1 (librdkafka 2.16.0), Kafka 4.1.0. Seen 2026-11-30, 2,880 minute bars of two days, 100 a transaction:
#   without transactions: offset 1440, first record 2013-10-08T00:01Z; a time in 2014: none
#   with transactions:    offset 100, first record 2013-10-07T01:41Z;  a time in 2014: offset 100
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

python_with confluent-kafka==2.16.1
kafka_up 4.1.0 1
"$work/venv/bin/python" - "$servers" <<'END' || changed "the lookup by time no longer counts the markers of transactions"
import sys
from datetime import datetime, timedelta, timezone

import confluent_kafka
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

servers = {"bootstrap.servers": sys.argv[1], "log_level": 0}
print("versions: confluent-kafka", confluent_kafka.__version__, "librdkafka", confluent_kafka.libversion()[0], "Kafka 4.1.0", flush=True)
FIRST = datetime(2013, 10, 7, 0, 1, tzinfo=timezone.utc)
ENDS = [FIRST + timedelta(minutes=n) for n in range(2880)]
SECOND_DAY, LATER = datetime(2013, 10, 8, 0, 0, 0, 1000, tzinfo=timezone.utc), datetime(2014, 1, 1, tzinfo=timezone.utc)


def ms(instant):
    return int(instant.timestamp() * 1000)


admin = AdminClient(servers)
topics = [NewTopic(name, 1, 1, config={"retention.ms": "-1"}) for name in ("plain", "transactions")]
for created in admin.create_topics(topics).values():
    created.result(20)
plain, writer = Producer(servers), Producer({**servers, "transactional.id": "backfill"})
for end in ENDS:
    plain.produce("plain", end.isoformat(), partition=0, timestamp=ms(end))
assert plain.flush(30) == 0
writer.init_transactions(30)
for begin in range(0, len(ENDS), 100):
    writer.begin_transaction()
    for end in ENDS[begin : begin + 100]:
        writer.produce("transactions", end.isoformat(), partition=0, timestamp=ms(end))
    writer.commit_transaction(30)

found = {}
for topic in ("plain", "transactions"):
    reader = Consumer({**servers, "group.id": "g", "enable.auto.commit": False, "isolation.level": "read_committed"})
    day, later = (reader.offsets_for_times([TopicPartition(topic, 0, ms(time))], timeout=20)[0].offset for time in (SECOND_DAY, LATER))
    reader.assign([TopicPartition(topic, 0, day)])
    first = None
    while first is None or first.error() is not None:
        first = reader.poll(20)
    found[topic] = (day, first.value().decode(), later)
    print(f"{topic}: asked for {SECOND_DAY.isoformat()} offset {day}, first record {found[topic][1]}; asked for 2014: {later}")
    reader.close()
expected = {
    "plain": (1440, "2013-10-08T00:01:00+00:00", -1),
    "transactions": (100, "2013-10-07T01:41:00+00:00", 100),
}
sys.exit(found != expected)
END
