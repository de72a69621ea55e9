import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.CloseOptions;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.Joined;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.SessionWindows;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.Suppressed.BufferConfig;
import org.apache.kafka.streams.kstream.TableJoined;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.kstream.WindowedSerdes;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.SessionStore;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowStore;

/**
 * The application of the takeover tests on Kafka Streams. Its twin on Millstream is src/bin/takeover: the same operators, in
 * the same order, under the same names.
 *
 * <pre>Main describe|run name=value...</pre>
 *
 * Names: bootstrap, application, state, commit (interval in ms), optimize (none or all), protocol (classic or streams),
 * leave (true: leaves the group when it is stopped). It stops cleanly at SIGTERM, and prints its states.
 */
public final class Main {
    private static final Serde<String> TEXT = Serdes.String();
    private static final Serde<Long> NUMBER = Serdes.Long();
    private static final Duration WINDOW = Duration.ofSeconds(30);
    private static final Duration GRACE = Duration.ofSeconds(10);
    private static final Duration GAP = Duration.ofSeconds(4);
    private static final Duration HOUR = Duration.ofHours(1);

    public static void main(String[] arguments) throws Exception {
        Map<String, String> settings = new HashMap<>();
        for (int at = 1; at < arguments.length; at++) {
            String[] pair = arguments[at].split("=", 2);
            settings.put(pair[0], pair[1]);
        }
        Properties properties = properties(settings);
        Topology topology = topology(settings.get("application"), properties);
        if (arguments[0].equals("describe")) {
            System.out.print(topology.describe());
        } else {
            run(topology, properties, Boolean.parseBoolean(settings.get("leave")));
        }
    }

    private static void run(Topology topology, Properties properties, boolean leave) throws Exception {
        KafkaStreams streams = new KafkaStreams(topology, properties);
        CountDownLatch ended = new CountDownLatch(1);
        streams.setStateListener((now, before) -> {
            System.out.println("state: " + now);
            if (now == KafkaStreams.State.ERROR) {
                // Not by exit, which would wait for the hook that waits for this listener.
                Runtime.getRuntime().halt(1);
            }
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            CloseOptions how = CloseOptions.timeout(Duration.ofSeconds(60));
            if (leave) {
                how = how.withGroupMembershipOperation(CloseOptions.GroupMembershipOperation.LEAVE_GROUP);
            }
            boolean closed = streams.close(how);
            System.out.println("closed: " + closed);
            // Of its own accord the virtual machine would end with the status of the signal.
            Runtime.getRuntime().halt(closed ? 0 : 1);
        }));
        streams.start();
        ended.await();
    }

    private static Properties properties(Map<String, String> settings) {
        Properties properties = new Properties();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, settings.get("application"));
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, settings.get("bootstrap"));
        properties.put(StreamsConfig.STATE_DIR_CONFIG, settings.get("state"));
        properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, settings.get("commit"));
        properties.put(StreamsConfig.TOPOLOGY_OPTIMIZATION_CONFIG, settings.get("optimize"));
        properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
        properties.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        properties.put(StreamsConfig.producerPrefix(ProducerConfig.TRANSACTION_TIMEOUT_CONFIG), 10_000);
        if ("streams".equals(settings.get("protocol"))) {
            // The session's length is the broker's to say.
            properties.put(StreamsConfig.GROUP_PROTOCOL_CONFIG, "streams");
        } else {
            properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG), 6_000);
            properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.HEARTBEAT_INTERVAL_MS_CONFIG), 500);
        }
        return properties;
    }

    private static Topology topology(String application, Properties properties) {
        StreamsBuilder builder = new StreamsBuilder();
        KStream<String, Long> clicks = builder.stream(application + "-clicks", Consumed.with(TEXT, NUMBER));
        KStream<String, String> views = builder.stream(application + "-views", Consumed.with(TEXT, TEXT));
        KTable<String, String> profiles =
            builder.table(application + "-profiles", Consumed.with(TEXT, TEXT), table("profiles", TEXT));
        KTable<String, String> regions =
            builder.table(application + "-regions", Consumed.with(TEXT, TEXT), table("regions", TEXT));
        KTable<String, Long> prices = builder.table(application + "-prices", Consumed.with(TEXT, NUMBER),
            Materialized.<String, Long>as(Stores.persistentVersionedKeyValueStore("prices", HOUR))
                .withKeySerde(TEXT).withValueSerde(NUMBER));

        KGroupedStream<String, Long> byUser = clicks.groupByKey(Grouped.with(TEXT, NUMBER));
        byUser.count(Materialized.<String, Long, KeyValueStore<Bytes, byte[]>>as("counts").withCachingDisabled())
            .toStream().to(application + "-counts", Produced.with(TEXT, NUMBER));

        Serde<Windowed<String>> windowKey = WindowedSerdes.timeWindowedSerdeFrom(String.class, WINDOW.toMillis());
        KTable<Windowed<String>, Long> windowed = byUser.windowedBy(TimeWindows.ofSizeAndGrace(WINDOW, GRACE))
            .count(Materialized.<String, Long, WindowStore<Bytes, byte[]>>as("windowed").withCachingDisabled());
        windowed.toStream().to(application + "-windowed", Produced.with(windowKey, NUMBER));
        windowed.suppress(Suppressed.untilWindowCloses(BufferConfig.unbounded()).withName("closing"))
            .toStream().to(application + "-closed", Produced.with(windowKey, NUMBER));

        byUser.windowedBy(SessionWindows.ofInactivityGapAndGrace(GAP, GRACE))
            .count(Materialized.<String, Long, SessionStore<Bytes, byte[]>>as("sessions").withCachingDisabled())
            .toStream()
            .to(application + "-sessions", Produced.with(WindowedSerdes.sessionWindowedSerdeFrom(String.class), NUMBER));

        clicks.groupBy((user, amount) -> "bucket-" + amount % 5, Grouped.with("by-bucket", TEXT, NUMBER))
            .reduce(Long::sum, Materialized.<String, Long, KeyValueStore<Bytes, byte[]>>as("sums")
                .withKeySerde(TEXT).withValueSerde(NUMBER))
            .toStream().to(application + "-sums", Produced.with(TEXT, NUMBER));

        clicks.join(profiles, (amount, region) -> amount + "@" + region, Joined.with(TEXT, NUMBER, TEXT, "enrich"))
            .to(application + "-enriched", Produced.with(TEXT, TEXT));
        clicks.join(prices, (amount, price) -> amount * price, Joined.with(TEXT, NUMBER, NUMBER, "price"))
            .to(application + "-priced", Produced.with(TEXT, NUMBER));
        clicks.join(views, (amount, page) -> amount + "@" + page, JoinWindows.ofTimeDifferenceAndGrace(GAP, HOUR),
            StreamJoined.with(TEXT, NUMBER, TEXT).withName("pair").withStoreName("pairs"))
            .to(application + "-pairs", Produced.with(TEXT, TEXT));

        profiles.join(regions, region -> region, (region, name) -> region + ":" + name, TableJoined.as("homes"),
            Materialized.<String, String, KeyValueStore<Bytes, byte[]>>as("homes").withKeySerde(TEXT).withValueSerde(TEXT))
            .toStream().to(application + "-homes", Produced.with(TEXT, TEXT));
        return builder.build(properties);
    }

    private static <V> Materialized<String, V, KeyValueStore<Bytes, byte[]>> table(String name, Serde<V> value) {
        return Materialized.<String, V, KeyValueStore<Bytes, byte[]>>as(name).withKeySerde(TEXT).withValueSerde(value);
    }
}
