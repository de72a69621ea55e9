package millstream.peers;

import java.io.IOException;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;

/**
 * One Kafka Streams process of the benches. What it has to tell it prints as one line of JSON.
 *
 * <pre>
 *  --mode run      to the end of the input; tells what that took. With --die-at N it kills itself at the Nth record.
 *  --mode restart  to the end of the input, where each partition has a new record; tells how it came back, and closes
 *  --mode serve    until its standard input ends; tells the CPU time since it was ready
 * </pre>
 */
public final class Peer {
    private static final long LOOK_MS = 5;

    private final Order order;
    private final Progress progress;
    private final Restored restored = new Restored();
    private final KafkaStreams streams;

    private Peer(final Order order) {
        this.order = order;
        final long steps = order.records() * Topologies.stepsPerRecord(order);
        progress = new Progress(steps, order.number("die-at"));
        streams = new KafkaStreams(Topologies.build(order, progress), properties(order));
        streams.setGlobalStateRestoreListener(restored);
    }

    public static void main(final String[] arguments) throws Exception {
        final Order order = Order.parse(arguments);
        final Peer peer = new Peer(order);
        switch (order.text("mode")) {
            case "run" -> peer.run();
            case "restart" -> peer.restart();
            case "serve" -> peer.serve();
            default -> throw new IllegalArgumentException("--mode " + order.text("mode"));
        }
        // Threads of the clients may outlive their closing.
        Runtime.getRuntime().halt(0);
    }

    private static Properties properties(final Order order) {
        final Properties properties = new Properties();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, order.name());
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, order.text("bootstrap-servers"));
        properties.put(StreamsConfig.STATE_DIR_CONFIG, order.stateDir().toString());
        properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, order.text("guarantee"));
        properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, order.text("workers"));
        properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, order.text("commit-interval-ms"));
        properties.put("consumer.auto.offset.reset", "earliest");
        if (order.text("caching").equals("off")) {
            properties.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, "0");
        }
        // Otherwise as a user finds it: every other setting has its default.
        return properties;
    }

    private Admin admin() {
        return Admin.create(Map.of("bootstrap.servers", order.text("bootstrap-servers")));
    }

    private void run() throws Exception {
        try (Admin admin = admin()) {
            final Offsets offsets = new Offsets(admin, order.name());
            final Map<TopicPartition, Long> ends = offsets.ends(Set.of(order.input()));
            streams.start();
            while (progress.done() < order.records() * Topologies.stepsPerRecord(order)) {
                pause();
            }
            waitUntilCommitted(offsets, ends);
        }
        final Machine.Mark end = Machine.Mark.now();
        final Machine.Mark first = progress.first;
        final Machine.Mark middle = progress.middle;
        System.out.printf(Locale.ROOT,
            "{\"records\":%d,\"seconds\":%.3f,\"cpu_seconds\":%.3f,\"half_seconds\":%.3f,\"half_cpu_seconds\":%.3f,"
                + "\"first_record_seconds\":%.3f,\"peak_rss_mib\":%d}%n",
            order.records(), end.at() - first.at(), end.cpu() - first.cpu(), end.at() - middle.at(),
            end.cpu() - middle.cpu(), first.sinceProcessStart(), Machine.peakRssMib());
        streams.close();
    }

    private void restart() throws Exception {
        streams.start();
        // Not the state RUNNING, which an instance without tasks may show as well.
        while (progress.first == null) {
            pause();
        }
        try (Admin admin = admin()) {
            final Offsets offsets = new Offsets(admin, order.name());
            waitUntilCommitted(offsets, offsets.ends(Set.of(order.input())));
        }
        System.out.printf(Locale.ROOT,
            "{\"first_record_seconds\":%.3f,\"restored\":%d,\"restore_seconds\":%.3f,\"restore_cpu_seconds\":%.3f,"
                + "\"peak_rss_mib\":%d}%n",
            progress.first.sinceProcessStart(), restored.records(), restored.seconds(), restored.cpuSeconds(),
            Machine.peakRssMib());
        streams.close();
    }

    private void serve() throws IOException, InterruptedException {
        streams.start();
        while (streams.state() != KafkaStreams.State.RUNNING) {
            pause();
        }
        final double before = Machine.Mark.now().cpu();
        System.out.println("ready");
        while (System.in.read() >= 0) {
            // until the bench closes it
        }
        System.out.printf(Locale.ROOT, "{\"cpu_seconds\":%.3f,\"peak_rss_mib\":%d}%n",
            Machine.Mark.now().cpu() - before, Machine.peakRssMib());
        streams.close();
    }

    private void waitUntilCommitted(final Offsets offsets, final Map<TopicPartition, Long> ends) throws Exception {
        final Map<TopicPartition, Long> wanted = offsets.wanted(ends);
        while (!offsets.committed(wanted)) {
            pause();
        }
    }

    private void pause() throws InterruptedException {
        if (streams.state() == KafkaStreams.State.ERROR) {
            throw new IllegalStateException("the instance failed: see its log");
        }
        Thread.sleep(LOOK_MS);
    }
}
