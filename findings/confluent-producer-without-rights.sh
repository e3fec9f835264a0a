#!/usr/bin/env bash
# An idempotent producer whose user may write no topic gets no producer ID: a fatal error, CLUSTER_AUTHORIZATION_FAILED. How it comes
# out of confluent-kafka depends on what is called:
# * poll(), and flush() without a delivery callback, raise KafkaException with it;
# * flush() with a delivery callback raises SystemError, which `except KafkaException` does not catch: the callback is called while that
#   error is pending, so its first call into C fails, and the record is never reported. Kafka's error is the SystemError's cause;
# * once it is raised, it is gone: the next flush() returns 0, as if everything was delivered, though every record was purged, and
#   produce() raises KafkaException _FATAL, which names no right. A transactional producer hears of it in init_transactions().
# Matters to whoever counts on what flush() returns, or catches KafkaException alone. The user here may see the topic (Describe).
# Versions: confluent-kafka 2.16.1 (librdkafka 2.16.0), Kafka 4.1.0 with KRaft's StandardAuthorizer, SASL_PLAINTEXT. Seen 2026-12-01:
#   flush with a delivery callback: ('SystemError', 'CLUSTER_AUTHORIZATION_FAILED'); reported []; then flush: ('returned', 0);
#   produce: ('KafkaException', '_FATAL')
#   flush without one: ('KafkaException', 'CLUSTER_AUTHORIZATION_FAILED'); the same after that
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
kafka_up() {  # kafka_up VERSION BROKERS: starts that many on free loopback ports; sets $servers, pid[1..], and $sasl: the port that asks for a user
  local version=$1 size=$2 n voters="" replicas least=1
  jars kafka "org.apache.kafka:kafka_2.13:$version" org.apache.logging.log4j:log4j-slf4j-impl:2.24.3 org.apache.logging.log4j:log4j-core:2.24.3
  printf '%s\n' 'rootLogger.level = error' 'rootLogger.appenderRef.c.ref = c' 'appender.c.type = Console' 'appender.c.name = c' \
    'appender.c.layout.type = PatternLayout' 'appender.c.layout.pattern = %d %p %m%n' >"$work/log4j2.properties"
  jvm=(java -Xmx300m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "-Dlog4j2.configurationFile=file://$work/log4j2.properties" -cp "$work/kafka/*")
  read -r -a port <<<"$(python3 -c '
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(2 * int(sys.argv[1]) + 1)]
print(*[s.getsockname()[1] for s in held])' "$size")"
  sasl=${port[2 * size]}
  replicas=$size; [ "$size" -lt 3 ] || least=2
  for ((n = 1; n <= size; n++)); do voters+="${voters:+,}$n@127.0.0.1:${port[size + n - 1]}"; done
  servers=""; pid=(0)
  for ((n = 1; n <= size; n++)); do
    servers+="${servers:+,}127.0.0.1:${port[n - 1]}"
    cat >"$work/broker$n.properties" <<END
process.roles=broker,controller
node.id=$n
controller.quorum.voters=$voters
listeners=CLIENT://127.0.0.1:${port[n - 1]},SASL://127.0.0.1:$sasl,CONTROLLER://127.0.0.1:${port[size + n - 1]}
advertised.listeners=CLIENT://127.0.0.1:${port[n - 1]},SASL://127.0.0.1:$sasl
listener.security.protocol.map=CLIENT:PLAINTEXT,SASL:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=CLIENT
listener.name.sasl.sasl.enabled.mechanisms=PLAIN
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_desk="secret";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
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
cat >"$work/producer.py" <<'END'
import sys, time
import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import (
    AclBinding, AclOperation, AclPermissionType, AdminClient, NewTopic, ResourcePatternType, ResourceType,
)

open_servers, guarded_servers = sys.argv[1:]
print("versions: confluent-kafka", confluent_kafka.__version__, "librdkafka", confluent_kafka.libversion()[0], "Kafka 4.1.0", flush=True)
admin = AdminClient({"bootstrap.servers": open_servers, "log_level": 0})
for done in admin.create_topics([NewTopic("bars.SPY", 1, 1)]).values():
    done.result(60)
may_see = AclBinding(
    ResourceType.TOPIC, "bars.SPY", ResourcePatternType.LITERAL, "User:desk", "*", AclOperation.DESCRIBE, AclPermissionType.ALLOW
)
for done in admin.create_acls([may_see]).values():
    done.result(60)


def made(**more):
    return Producer({
        "bootstrap.servers": guarded_servers, "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN",
        "sasl.username": "desk", "sasl.password": "secret", "enable.idempotence": True, "log_level": 0, **more,
    })


def outcome(call):
    """What a call raised or returned, as (name of the type, name of Kafka's error)."""
    try:
        return ("returned", call())
    except SystemError as error:
        cause = error.__cause__ or error.__context__
        return ("SystemError", cause.args[0].name() if isinstance(cause, KafkaException) else repr(cause))
    except KafkaException as error:
        return ("KafkaException", error.args[0].name())


def polled(producer):
    for _ in range(300):
        got = outcome(lambda: producer.poll(0.1))
        if got[0] != "returned":
            return got
    return got


FATAL = "CLUSTER_AUTHORIZATION_FAILED"
failed = False
for name, callback, first in (
    ("flush with a delivery callback", True, lambda producer: outcome(lambda: producer.flush(30))),
    ("flush without one", False, lambda producer: outcome(lambda: producer.flush(30))),
    ("poll with a delivery callback", True, polled),
    ("poll without one", False, polled),
):
    reported = []
    producer = made()
    report = (lambda error, message: reported.append(error.name())) if callback else None
    producer.produce("bars.SPY", b"a bar", on_delivery=report)
    got = first(producer)
    again, more = outcome(lambda: producer.flush(10)), outcome(lambda: producer.produce("bars.SPY", b"another"))
    print(f"{name}: {got}; reported {reported}; then flush: {again}; produce: {more}", flush=True)
    failed |= got[1] != FATAL or again != ("returned", 0) or more != ("KafkaException", "_FATAL")
    failed |= name == "flush with a delivery callback" and got[0] != "SystemError"
    failed |= name == "flush without one" and got[0] != "KafkaException"
transactional = outcome(lambda: made(**{"transactional.id": "desk"}).init_transactions(30))
print(f"init_transactions: {transactional}", flush=True)
failed |= transactional != ("KafkaException", "TRANSACTIONAL_ID_AUTHORIZATION_FAILED")
sys.exit(failed)
END
"$work/venv/bin/python" "$work/producer.py" "$servers" "127.0.0.1:$sasl" || changed "see the lines above"
echo "as described"
