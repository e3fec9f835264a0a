package bench;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * The drain in Kafka Streams: bars in, each bar and its 5m and 15m bars out, open windows in a store with a changelog.
 *
 * <p>Arguments: name, servers, output topic, state folder, bar topics with commas between. Exactly once (v2), two threads, a
 * commit every 100 ms, which is also what exactly once defaults to. Each topic is a sub-topology, hence a task, of its own, so
 * that the threads share them; the store is in memory, which spares RocksDB.
 */
public final class Drain {
    private static final int FRAMING_BYTES = 5;
    private static final String[] NAMES = {"5m", "15m"};
    private static final long[] LENGTHS = {300_000_000L, 900_000_000L};
    private static final int WINDOW_BYTES = 6 * 8;

    private Drain() {}

    public static void main(String[] arguments) throws InterruptedException {
        String name = arguments[0];
        String output = arguments[2];
        Properties properties = new Properties();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, name);
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[1]);
        properties.put(StreamsConfig.STATE_DIR_CONFIG, arguments[3]);
        properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
        properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
        properties.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        properties.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 128 * 1024);
        properties.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 100);

        StreamsBuilder builder = new StreamsBuilder();
        for (String topic : arguments[4].split(",")) {
            String store = "windows-" + topic.replaceAll("[^A-Za-z0-9]", "-");
            builder.addStateStore(
                    Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore(store), Serdes.ByteArray(), Serdes.ByteArray())
                            .withCachingEnabled()
                            .withLoggingEnabled(Collections.emptyMap()));
            builder.stream(topic, Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
                    .process(() -> new Derive(store), store)
                    .to(output, Produced.with(Serdes.ByteArray(), Serdes.ByteArray()));
        }
        KafkaStreams streams = new KafkaStreams(builder.build(), properties);
        CountDownLatch ended = new CountDownLatch(1);
        streams.setUncaughtExceptionHandler(
                error -> {
                    error.printStackTrace();
                    Runtime.getRuntime().halt(1);
                    return null;
                });
        Runtime.getRuntime()
                .addShutdownHook(
                        new Thread(
                                () -> {
                                    streams.close(Duration.ofSeconds(5));
                                    ended.countDown();
                                }));
        streams.start();
        ended.await();
    }

    /** A bar, base or derived. */
    private static final class Bar {
        String symbol;
        String interval;
        long start;
        long end;
        double open;
        double high;
        double low;
        double close;
        double volume;
    }

    private static final class Derive implements Processor<byte[], byte[], byte[], byte[]> {
        private final String storeName;
        private final ByteArrayOutputStream bytes = new ByteArrayOutputStream(128);
        private BinaryDecoder decoder;
        private BinaryEncoder encoder;
        private ProcessorContext<byte[], byte[]> context;
        private KeyValueStore<byte[], byte[]> store;

        Derive(String storeName) {
            this.storeName = storeName;
        }

        @Override
        public void init(ProcessorContext<byte[], byte[]> given) {
            context = given;
            store = given.getStateStore(storeName);
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            try {
                Bar bar = decode(record.value());
                byte[] stored = store.get(record.key());
                ByteBuffer windows = ByteBuffer.wrap(stored == null ? new byte[NAMES.length * WINDOW_BYTES] : stored.clone());
                List<Bar> completed = new ArrayList<>(NAMES.length);
                for (int number = 0; number < NAMES.length; number++) {
                    fold(windows, number, bar, completed);
                }
                store.put(record.key(), windows.array());
                context.forward(record.withValue(encode(bar)));
                for (Bar derived : completed) {
                    context.forward(record.withValue(encode(derived)));
                }
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        }

        private static void fold(ByteBuffer windows, int number, Bar bar, List<Bar> completed) {
            int at = number * WINDOW_BYTES;
            long start = bar.start - bar.start % LENGTHS[number];
            if (windows.getLong(at) != start) {
                windows.putLong(at, start);
                windows.putDouble(at + 8, bar.open);
                windows.putDouble(at + 16, bar.high);
                windows.putDouble(at + 24, bar.low);
                windows.putDouble(at + 32, bar.close);
                windows.putDouble(at + 40, bar.volume);
            } else {
                windows.putDouble(at + 16, Math.max(windows.getDouble(at + 16), bar.high));
                windows.putDouble(at + 24, Math.min(windows.getDouble(at + 24), bar.low));
                windows.putDouble(at + 32, bar.close);
                windows.putDouble(at + 40, windows.getDouble(at + 40) + bar.volume);
            }
            if (bar.end == start + LENGTHS[number]) {
                Bar derived = new Bar();
                derived.symbol = bar.symbol;
                derived.interval = NAMES[number];
                derived.start = start;
                derived.end = bar.end;
                derived.open = windows.getDouble(at + 8);
                derived.high = windows.getDouble(at + 16);
                derived.low = windows.getDouble(at + 24);
                derived.close = windows.getDouble(at + 32);
                derived.volume = windows.getDouble(at + 40);
                completed.add(derived);
            }
        }

        private Bar decode(byte[] value) throws IOException {
            decoder = DecoderFactory.get().binaryDecoder(value, FRAMING_BYTES, value.length - FRAMING_BYTES, decoder);
            Bar bar = new Bar();
            bar.symbol = decoder.readString();
            bar.interval = decoder.readString();
            bar.start = decoder.readLong();
            bar.end = decoder.readLong();
            bar.open = decoder.readDouble();
            bar.high = decoder.readDouble();
            bar.low = decoder.readDouble();
            bar.close = decoder.readDouble();
            bar.volume = decoder.readDouble();
            return bar;
        }

        private byte[] encode(Bar bar) throws IOException {
            bytes.reset();
            encoder = EncoderFactory.get().binaryEncoder(bytes, encoder);
            encoder.writeString(bar.symbol);
            encoder.writeString(bar.interval);
            encoder.writeLong(bar.start);
            encoder.writeLong(bar.end);
            encoder.writeDouble(bar.open);
            encoder.writeDouble(bar.high);
            encoder.writeDouble(bar.low);
            encoder.writeDouble(bar.close);
            encoder.writeDouble(bar.volume);
            encoder.flush();
            return bytes.toByteArray();
        }
    }
}
