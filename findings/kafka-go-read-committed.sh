#!/usr/bin/env bash
# segmentio/kafka-go's Reader with IsolationLevel ReadCommitted delivers the records of aborted transactions, and the transactions'
# markers too, as messages with a value of six bytes. The level is sent to the broker, which then ends a fetch before the first open
# transaction and lists the aborted ones; dropping what is listed, and the markers, is the client's part, and is left undone.
# Matters to whoever reads a transactional topic from Go: orders or bars that were rolled back are acted on. franz-go and sarama,
# told the same, deliver the committed records alone.
# Versions: kafka-go 0.4.51, franz-go 1.22.3, sarama 1.61.1, Kafka 4.1.0, Go 1.26. Seen 2026-11-30, of 5 committed and 3 aborted records:
#   franz-go [c0 c1 c2 c3], sarama [c0 c1 c2 c3]
#   kafka-go [c0 c1 marker a0 a1 marker c2 marker a2 marker c3 marker]
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
mkdir "$work/go" && cd "$work/go"
cat >go.mod <<END
module readers

go 1.24
END
cat >main.go <<'END'
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/IBM/sarama"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
)

func shown(value []byte) string {
	if len(value) == 6 && value[0] == 0 {
		return "marker"
	}
	return string(value)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// Each reads until nothing has come for five seconds.
const quiet = 5 * time.Second

func main() {
	servers, topic := os.Args[1], os.Args[2]

	var franz []string
	client, err := kgo.NewClient(kgo.SeedBrokers(servers), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	check(err)
	for more := true; more; {
		ctx, cancel := context.WithTimeout(context.Background(), quiet)
		more = false
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) { franz = append(franz, shown(r.Value)); more = true })
		cancel()
	}
	fmt.Println("franz-go", franz)

	var found []string
	config := sarama.NewConfig()
	config.Version = sarama.V2_8_0_0
	config.Consumer.IsolationLevel = sarama.ReadCommitted
	consumer, err := sarama.NewConsumer([]string{servers}, config)
	check(err)
	partition, err := consumer.ConsumePartition(topic, 0, sarama.OffsetOldest)
	check(err)
	for more := true; more; {
		select {
		case m := <-partition.Messages():
			found = append(found, shown(m.Value))
		case <-time.After(quiet):
			more = false
		}
	}
	fmt.Println("sarama", found)

	var segmentio []string
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{servers}, Topic: topic, Partition: 0,
		IsolationLevel: kafka.ReadCommitted, MaxWait: 500 * time.Millisecond})
	for more := true; more; {
		ctx, cancel := context.WithTimeout(context.Background(), quiet)
		m, err := reader.ReadMessage(ctx)
		if err == nil {
			segmentio = append(segmentio, shown(m.Value))
		}
		more = err == nil
		cancel()
	}
	fmt.Println("kafka-go", segmentio)
}
END
export GOFLAGS=-modcacherw GOPATH="$work/gopath" GOCACHE="$work/gocache"
go get github.com/segmentio/kafka-go@v0.4.51 github.com/twmb/franz-go@v1.22.3 github.com/IBM/sarama@v1.61.1 >"$work/go.log" 2>&1 &&
  go mod tidy >>"$work/go.log" 2>&1 && go build -o readers . >>"$work/go.log" 2>&1 || { cat "$work/go.log" >&2; exit 2; }
echo "versions: kafka-go 0.4.51, franz-go 1.22.3, sarama 1.61.1, Kafka 4.1.0, $(go version)"
./readers "$servers" bars | tee out
grep -qx "franz-go \[c0 c1 c2 c3\]" out || changed "franz-go reads otherwise"
grep -qx "sarama \[c0 c1 c2 c3\]" out || changed "sarama reads otherwise"
grep -qx "kafka-go \[c0 c1 marker a0 a1 marker c2 marker a2 marker c3 marker\]" out || changed "kafka-go delivers something else"
echo "as described: kafka-go delivers aborted records and markers with ReadCommitted"
