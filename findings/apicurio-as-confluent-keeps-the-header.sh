#!/usr/bin/env bash
# Apicurio Registry 2's Avro serializer puts the schema's id into a message header by default, and `apicurio.registry.as-confluent=true`,
# which is there to write Confluent's framing, changes nothing about that: the value still begins with the bare Avro body. With
# `apicurio.registry.headers.enabled=false` alone the id is before the value, but in eight bytes instead of Confluent's four, so that a
# reader of Confluent's framing takes the first four of them, 0, for the id. Only both settings together give 00, four bytes, body.
# Matters to whoever mixes Apicurio's producers with other readers (Confluent's deserializers, Flink, ksqlDB, streams of one's own): either
# setting alone looks right in the producer's config, and every message is unreadable, or read under schema id 0.
# Versions: apicurio-registry-serdes-avro-serde 2.6.8.Final, kafka-clients 3.9.0, Java 17. Seen 2026-11-30, global id 7, one field "SPY":
#   default                                06535059                    header apicurio.value.globalId
#   as-confluent=true                      06535059                    header apicurio.value.globalId
#   headers.enabled=false                  00 0000000000000007 06535059
#   as-confluent=true, headers=false       00 00000007 06535059
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

cat >"$work/pom.xml" <<'END'
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>finding</groupId><artifactId>jars</artifactId><version>1</version><dependencies>
<dependency><groupId>io.apicurio</groupId><artifactId>apicurio-registry-serdes-avro-serde</artifactId><version>2.6.8.Final</version></dependency>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-clients</artifactId><version>3.9.0</version></dependency>
</dependencies></project>
END
mvn --quiet --batch-mode --file "$work/pom.xml" \
  org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DoutputDirectory="$work/jars" >"$work/mvn.log" 2>&1 ||
  { cat "$work/mvn.log" >&2; exit 2; }

# A registry that answers each registration of a schema with global id 7 and content id 5.
cat >"$work/registry.py" <<'END'
import json
from http.server import BaseHTTPRequestHandler, HTTPServer

META = {"id": "t-value", "groupId": "default", "version": "1", "globalId": 7, "contentId": 5, "type": "AVRO", "state": "ENABLED",
        "createdOn": "2026-11-30T00:00:00Z", "createdBy": "", "name": "T", "references": []}


class Registry(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.dumps(META).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = HTTPServer(("127.0.0.1", 0), Registry)
print(server.server_port, flush=True)
server.serve_forever()
END
python3 "$work/registry.py" >"$work/port" &
server=$!
for ((i = 0; i < 100; i++)); do [ -s "$work/port" ] && break; sleep 0.1; done

cat >"$work/Write.java" <<'END'
import io.apicurio.registry.serde.avro.AvroKafkaSerializer;
import java.util.*;
import org.apache.avro.*;
import org.apache.avro.generic.*;
import org.apache.kafka.common.header.*;
import org.apache.kafka.common.header.internals.RecordHeaders;

public class Write {
  public static void main(String[] args) {
    Schema schema = SchemaBuilder.record("T").fields().requiredString("symbol").endRecord();
    GenericRecord record = new GenericRecordBuilder(schema).set("symbol", "SPY").build();
    for (String settings : new String[] {"", "as-confluent=true", "headers.enabled=false", "as-confluent=true headers.enabled=false"}) {
      Map<String, Object> config = new HashMap<>();
      config.put("apicurio.registry.url", "http://127.0.0.1:" + args[0] + "/apis/registry/v2");
      config.put("apicurio.registry.auto-register", true);
      for (String one : settings.split(" ")) {
        if (!one.isEmpty()) config.put("apicurio.registry." + one.split("=")[0], one.split("=")[1]);
      }
      AvroKafkaSerializer<GenericRecord> serializer = new AvroKafkaSerializer<>();
      serializer.configure(config, false);
      Headers headers = new RecordHeaders();
      byte[] value = serializer.serialize("t", headers, record);
      Header id = headers.lastHeader("apicurio.value.globalId");
      String where = id == null ? "" : " header " + HexFormat.of().formatHex(id.value());
      System.out.println("[" + settings + "] " + HexFormat.of().formatHex(value) + where);
    }
  }
}
END
java -cp "$work/jars/*" "$work/Write.java" "$(cat "$work/port")" 2>"$work/java.log" | tee "$work/found" || { cat "$work/java.log" >&2; exit 2; }
cat >"$work/expected" <<'END'
[] 06535059 header 0000000000000007
[as-confluent=true] 06535059 header 0000000000000007
[headers.enabled=false] 00000000000000000706535059
[as-confluent=true headers.enabled=false] 000000000706535059
END
diff "$work/expected" "$work/found" || changed "Apicurio's serializer frames values in another way"
