package millstream.peers;

import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

/** Ends of topics, and how far a group has committed. */
final class Offsets {
    private final Admin admin;
    private final String group;

    Offsets(final Admin admin, final String group) {
        this.admin = admin;
        this.group = group;
    }

    Map<TopicPartition, Long> ends(final Set<String> topics) throws ExecutionException, InterruptedException {
        final Map<TopicPartition, OffsetSpec> latest = new HashMap<>();
        admin.describeTopics(topics).allTopicNames().get().forEach((name, topic) ->
            topic.partitions().forEach(p -> latest.put(new TopicPartition(name, p.partition()), OffsetSpec.latest())));
        return admin.listOffsets(latest).all().get().entrySet().stream()
            .collect(Collectors.toMap(Map.Entry::getKey, entry -> entry.getValue().offset()));
    }

    /** What must be committed for all to be done; asked for when nothing is processed any more. */
    Map<TopicPartition, Long> wanted(final Map<TopicPartition, Long> inputs) throws ExecutionException, InterruptedException {
        final Map<TopicPartition, Long> wanted = new HashMap<>(inputs);
        final Set<String> repartition = admin.listTopics().names().get().stream()
            .filter(topic -> topic.startsWith(group + "-") && topic.endsWith("-repartition")).collect(Collectors.toSet());
        if (!repartition.isEmpty()) {
            // Behind the last record there may be the marker of its transaction.
            ends(repartition).forEach((partition, end) -> wanted.put(partition, end - 1));
        }
        return wanted;
    }

    boolean committed(final Map<TopicPartition, Long> wanted) throws InterruptedException {
        final Map<TopicPartition, OffsetAndMetadata> committed;
        try {
            committed = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
        } catch (final ExecutionException e) {
            return false; // the broker may not know the group yet
        }
        return wanted.entrySet().stream().allMatch(want -> {
            final OffsetAndMetadata got = committed.get(want.getKey());
            return want.getValue() <= 0 || got != null && got.offset() >= want.getValue();
        });
    }
}
