#!/usr/bin/env bash
# @platformatic/kafka reads committed records only, by default, but of several aborted transactions of one producer in one fetch it
# drops the last alone and delivers the records of the others: the list of aborted transactions goes into a map by producer ID, in which
# each entry replaces the one before. kafkajs, reading the same topic, delivers the committed records alone.
# Matters to whoever reads a transactional topic from Node: what a writer has rolled back twice within a fetch (a crash and a
# restart, or a retry) is delivered once as if it were committed, while tests with one abort pass.
# Versions: @platformatic/kafka 1.35.0, kafkajs 2.2.4, Node 20.20, Kafka 4.1.0. Seen 2026-11-30, of 5 committed and 3 aborted records:
#   kafkajs c0 c1 c2 c3
#   platformatic, default c0 c1 a0 a1 c2 c3; platformatic, READ_COMMITTED c0 c1 a0 a1 c2 c3
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
cat >"$work/setup.py" <<'END'
import sys
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

servers, topic = sys.argv[1:]
admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(60)
producer = Producer({"bootstrap.servers": servers, "transactional.id": "writer", "log_level": 0})
producer.init_transactions(60)
for names, commits in ((["c0", "c1"], True), (["a0", "a1"], False), (["c2"], True), (["a2"], False), (["c3"], True)):
    producer.begin_transaction()
    for name in names:
        producer.produce(topic, name.encode())
    assert producer.flush(60) == 0  # else what is aborted was never sent
    producer.commit_transaction(60) if commits else producer.abort_transaction(60)
END
"$work/venv/bin/python" "$work/setup.py" "$servers" bars
cd "$work"
echo "{\"private\": true}" >package.json
npm install --silent --no-audit --no-fund kafkajs@2.2.4 @platformatic/kafka@1.35.0 >"$work/npm.log" 2>&1 || { cat "$work/npm.log" >&2; exit 2; }
cat >read.mjs <<'END'
import { Kafka, logLevel } from "kafkajs";
import { Consumer, FetchIsolationLevels, MessagesStreamModes } from "@platformatic/kafka";

const [servers, topic] = process.argv.slice(2);
const quietMs = 5000;

// Until nothing has come for so long.
async function settled(found) {
  for (let count = -1; count < found.length; ) {
    count = found.length;
    await new Promise((resolve) => setTimeout(resolve, quietMs));
  }
}

async function withKafkajs() {
  const found = [];
  const consumer = new Kafka({ brokers: [servers], logLevel: logLevel.NOTHING }).consumer({ groupId: "kafkajs", readUncommitted: false });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  await consumer.run({ eachMessage: async ({ message }) => void found.push(message.value.toString()) });
  await settled(found);
  await consumer.disconnect();
  return found;
}

async function withPlatformatic(groupId, options) {
  const found = [];
  const consumer = new Consumer({ clientId: "reader", groupId, bootstrapBrokers: [servers] });
  const stream = await consumer.consume({ topics: [topic], mode: MessagesStreamModes.EARLIEST, autocommit: false, ...options });
  stream.on("data", (message) => found.push(message.value.toString()));
  await settled(found);
  await consumer.close(true);
  return found;
}

console.log("kafkajs", ...(await withKafkajs()));
console.log("platformatic, default", ...(await withPlatformatic("a", {})));
console.log("platformatic, READ_COMMITTED", ...(await withPlatformatic("b", { isolationLevel: FetchIsolationLevels.READ_COMMITTED })));
process.exit(0);
END
echo "versions: @platformatic/kafka 1.35.0, kafkajs 2.2.4, Node $(node --version), Kafka 4.1.0"
node read.mjs "$servers" bars | tee out
grep -qx "kafkajs c0 c1 c2 c3" out || changed "kafkajs reads otherwise"
grep -qx "platformatic, default c0 c1 a0 a1 c2 c3" out || changed "by default it delivers something else"
grep -qx "platformatic, READ_COMMITTED c0 c1 a0 a1 c2 c3" out || changed "with READ_COMMITTED it delivers something else"
echo "as described: of two aborted transactions of one producer, the records of the first are delivered"
