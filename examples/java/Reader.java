import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.*;
import org.apache.avro.Schema;
import org.apache.avro.generic.*;
import org.apache.avro.io.DecoderFactory;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** The day so far from SESSION.bars, then each fresh bar of SESSION.analysis once. Arguments: brokers, session, folder of schemas. */
public class Reader {
    static final long SILENCE_NANOS = 3_000_000_000L; // a session whose gate is open says something at least once a second
    static final Map<Integer, GenericDatumReader<GenericRecord>> READERS = new HashMap<>(); // by id of the schema that was written with

    public static void main(String[] args) throws Exception {
        var current = new Schema.Parser().parse(new File(args[2], "AnalysisEvent.avsc"));
        for (var version : new ObjectMapper().readTree(new File(args[2], "ids.json")).at("/AnalysisEvent/versions").properties())
            READERS.put(version.getValue().asInt(), new GenericDatumReader<>(
                new Schema.Parser().parse(new File(args[2], "past/AnalysisEvent.v" + version.getKey() + ".avsc")), current));
        Map<String, Object> settings = Map.of("bootstrap.servers", args[0], "isolation.level", "read_committed", "auto.offset.reset", "none");
        try (var consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            TopicPartition bars = new TopicPartition(args[1] + ".bars", 0), analysis = new TopicPartition(args[1] + ".analysis", 0);
            var day = new LinkedHashMap<String, GenericRecord>(); // of each bar the newest revision
            long epoch = 0, sequence = 0, since = 0, end = consumer.endOffsets(Set.of(bars)).get(bars);
            consumer.assign(Set.of(bars));
            for (consumer.seekToBeginning(Set.of(bars)); consumer.position(bars) < end; )
                for (var record : consumer.poll(Duration.ofMillis(200))) {
                    if (number(record, "epoch") > epoch) day.clear(); // the session was begun anew
                    epoch = number(record, "epoch");
                    sequence = number(record, "sequence"); // the bars that analysis has up to here are among these
                    since = record.timestamp();
                    day.put(name(record), event(record));
                }
            int today = day.values().stream().mapToInt(event -> (int) event.get("trading_date")).max().orElse(0);
            day.forEach((name, event) -> { if ((int) event.get("trading_date") == today) say("history " + name, event); });

            consumer.assign(Set.of(analysis));
            var place = consumer.offsetsForTimes(Map.of(analysis, since)).get(analysis);
            long caught = System.nanoTime(); // when reading last reached the end
            long heard = caught; // when the last record was written, or before that
            long liveFrom = consumer.endOffsets(Set.of(analysis)).get(analysis); // what is there already proves nothing about now
            consumer.seek(analysis, place == null ? liveFrom : place.offset());
            boolean isOpen = false, isLost = false;
            for (long looked = caught; ; looked = System.nanoTime()) {
                var records = consumer.poll(Duration.ofMillis(200));
                for (var record : records) {
                    // While the gate is open, each record is written within a second of the one before it, so the end that was reached
                    // behind that one dates it, whatever held it up. While the gate is shut, nothing need come: the last look dates it.
                    if (record.offset() >= liveFrom) heard = Math.max(heard, isOpen ? caught : looked);
                    long thisEpoch = number(record, "epoch"), thisSequence = number(record, "sequence");
                    if (thisEpoch < epoch || (thisEpoch == epoch && thisSequence <= sequence)) continue; // known, or repeated
                    if (epoch > 0 && (thisEpoch != epoch || thisSequence != sequence + 1))
                        System.out.printf("hole: after %d/%d comes %d/%d%n", epoch, sequence, thisEpoch, thisSequence);
                    epoch = thisEpoch;
                    sequence = thisSequence;
                    boolean isFresh = !text(record, "kind").equals("bar") || number(record, "valid_until_us") >= System.currentTimeMillis() * 1000;
                    switch (text(record, "kind")) { // of the gate: open, shut, or as before
                        case "bar", "activated", "heartbeat" -> isOpen = true;
                        case "deactivated" -> isOpen = false;
                        default -> { }
                    }
                    switch (text(record, "kind")) {
                        case "bar" -> say((isFresh ? "fresh " : "history ") + name(record), event(record)); // act on fresh ones only
                        case "activated", "deactivated" -> System.out.println(text(record, "kind") + " " + event(record).get("gate"));
                        case "held_back", "revised" -> // bars that did not come here, or came otherwise: SESSION.bars has them
                            System.out.println(text(record, "kind") + " " + name(record) + event(record).get("extent"));
                        default -> { } // symbols that come and go, and kinds of later versions
                    }
                }
                if (!records.isEmpty() && consumer.currentLag(analysis).orElse(1) == 0) caught = System.nanoTime();
                if (isOpen && isLost != System.nanoTime() - heard > SILENCE_NANOS) { // by this clock alone: no two clocks are compared
                    isLost = !isLost;
                    System.out.println(isLost ? "stop trading: no worker is heard of" : "resume trading: a worker is heard of again");
                }
            }
        }
    }

    static GenericRecord event(ConsumerRecord<byte[], byte[]> record) throws Exception { // a zero, four bytes of the id, Avro
        var body = DecoderFactory.get().binaryDecoder(record.value(), 5, record.value().length - 5, null);
        return READERS.get(ByteBuffer.wrap(record.value()).getInt(1)).read(null, body);
    }

    static String text(ConsumerRecord<byte[], byte[]> record, String header) { // what headers say needs no decoding
        return record.headers().lastHeader(header) == null ? "" : new String(record.headers().lastHeader(header).value(), UTF_8);
    }

    static long number(ConsumerRecord<byte[], byte[]> record, String header) { return Long.parseLong(text(record, header)); }

    static String name(ConsumerRecord<byte[], byte[]> record) {
        return text(record, "symbol") + " " + text(record, "interval") + " " + text(record, "end_us");
    }

    static void say(String what, GenericRecord event) {
        var bar = (GenericRecord) event.get("bar");
        System.out.println(what + " " + bar.get("close") + " revision " + bar.get("revision"));
    }
}
