package millstream.peers;

import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.streams.processor.StateRestoreListener;

/** What was replayed from changelogs, from when to when. */
final class Restored implements StateRestoreListener {
    private long records;
    private Machine.Mark begin;
    private Machine.Mark end;

    @Override
    public synchronized void onRestoreStart(final TopicPartition changelog, final String store, final long from, final long to) {
        if (begin == null) {
            begin = Machine.Mark.now();
        }
    }

    @Override
    public void onBatchRestored(final TopicPartition changelog, final String store, final long last, final long count) {
        // the total comes with the end
    }

    @Override
    public synchronized void onRestoreEnd(final TopicPartition changelog, final String store, final long total) {
        records += total;
        end = Machine.Mark.now();
    }

    synchronized long records() {
        return records;
    }

    synchronized double seconds() {
        return end == null ? 0 : end.at() - begin.at();
    }

    synchronized double cpuSeconds() {
        return end == null ? 0 : end.cpu() - begin.cpu();
    }
}
