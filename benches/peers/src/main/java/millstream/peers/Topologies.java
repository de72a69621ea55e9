package millstream.peers;

import java.time.Duration;
import java.util.Arrays;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Joined;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.WindowedSerdes;
import org.apache.kafka.streams.state.KeyValueStore;

/** The workloads as a user would write them: the same as in the benches' topology.rs. */
final class Topologies {
    private static final Serde<String> STRING = Serdes.String();
    private static final Serde<Long> LONG = Serdes.Long();
    private static final Duration WINDOW = Duration.ofMinutes(1);
    private static final Duration GRACE = Duration.ofSeconds(10);

    private Topologies() {
    }

    /** How many records of the last stage one input record makes. */
    static long stepsPerRecord(final Order order) {
        return order.text("workload").equals("wordcount") ? 16 : 1;
    }

    static Topology build(final Order order, final Progress progress) {
        final StreamsBuilder builder = new StreamsBuilder();
        final KStream<String, String> input = builder.stream(order.input(), Consumed.with(STRING, STRING))
            .peek((key, value) -> progress.enter());
        switch (order.text("workload")) {
            case "passthrough" -> stepping(input, progress)
                .mapValues(value -> value + "!")
                .filter((key, value) -> value.charAt(0) < '8')
                .to(order.output(), Produced.with(STRING, STRING));
            case "copy" -> stepping(input, progress).to(order.output(), Produced.with(STRING, STRING));
            case "count" -> count(stepping(input, progress), order);
            case "tumbling" -> stepping(input, progress)
                .groupByKey(Grouped.with(STRING, STRING))
                .windowedBy(TimeWindows.ofSizeAndGrace(WINDOW, GRACE))
                .count(Materialized.as("windows"))
                .toStream()
                .to(order.output(), Produced.with(WindowedSerdes.timeWindowedSerdeFrom(String.class, WINDOW.toMillis()), LONG));
            case "join" -> {
                final var table = builder.table(order.text("table"), Consumed.with(STRING, STRING), stored("table", STRING));
                stepping(input, progress)
                    .join(table, (left, right) -> left + right, Joined.with(STRING, STRING, STRING))
                    .to(order.output(), Produced.with(STRING, STRING));
            }
            case "wordcount" -> count(stepping(input
                .flatMapValues(text -> Arrays.asList(text.split(" ")))
                .selectKey((key, word) -> word)
                .repartition(Repartitioned.<String, String>as("words").withKeySerde(STRING).withValueSerde(STRING)), progress), order);
            case "reduce_large_state" -> stepping(input, progress)
                .groupByKey(Grouped.with(STRING, STRING))
                .reduce((before, now) -> now, stored("latest", STRING))
                .toStream()
                .to(order.output(), Produced.with(STRING, STRING));
            default -> throw new IllegalArgumentException("--workload " + order.text("workload"));
        }
        return builder.build();
    }

    private static KStream<String, String> stepping(final KStream<String, String> stream, final Progress progress) {
        return stream.peek((key, value) -> progress.step());
    }

    private static void count(final KStream<String, String> stream, final Order order) {
        stream.groupByKey(Grouped.with(STRING, STRING)).count(stored("counts", LONG))
            .toStream().to(order.output(), Produced.with(STRING, LONG));
    }

    private static <V> Materialized<String, V, KeyValueStore<Bytes, byte[]>> stored(final String name, final Serde<V> values) {
        return Materialized.<String, V, KeyValueStore<Bytes, byte[]>>as(name).withKeySerde(STRING).withValueSerde(values);
    }
}
