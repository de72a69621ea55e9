package millstream.peers;

import java.util.concurrent.atomic.AtomicLong;

/** How far the topology has come: counted where records enter, and at the last stage that input records drive. */
final class Progress {
    private final AtomicLong entered = new AtomicLong();
    private final AtomicLong done = new AtomicLong();
    private final long half;
    private final long dieAt;
    volatile Machine.Mark first;
    volatile Machine.Mark middle;

    /** The middle is taken when half of {@code steps} are done; the process kills itself after {@code dieAt}, unless 0. */
    Progress(final long steps, final long dieAt) {
        half = Math.max(1, steps / 2);
        this.dieAt = dieAt;
    }

    void enter() {
        if (entered.incrementAndGet() == 1) {
            first = Machine.Mark.now();
        }
    }

    void step() {
        final long steps = done.incrementAndGet();
        if (steps == half) {
            middle = Machine.Mark.now();
        }
        if (steps == dieAt) {
            Machine.killSelf();
        }
    }

    long done() {
        return done.get();
    }
}
