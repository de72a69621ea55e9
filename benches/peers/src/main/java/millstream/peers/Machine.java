package millstream.peers;

import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** Time, CPU time and memory of this process. */
final class Machine {
    private static final OperatingSystemMXBean SYSTEM =
        (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();

    private Machine() {
    }

    /** A moment in seconds, and the CPU seconds of all threads until then, the compiler's and the collector's too. */
    record Mark(double at, double cpu) {
        static Mark now() {
            return new Mark(System.currentTimeMillis() / 1e3, SYSTEM.getProcessCpuTime() / 1e9);
        }

        double sinceProcessStart() {
            return at - ManagementFactory.getRuntimeMXBean().getStartTime() / 1e3;
        }
    }

    static long peakRssMib() {
        final List<String> status;
        try {
            status = Files.readAllLines(Path.of("/proc/self/status"));
        } catch (final IOException e) {
            throw new UncheckedIOException(e);
        }
        return status.stream().filter(line -> line.startsWith("VmHWM:"))
            .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")) / 1024).findFirst().orElse(0);
    }

    /** Ends this process as a crash would: nothing is closed, nothing is written. */
    static void killSelf() {
        try {
            new ProcessBuilder("kill", "-9", Long.toString(ProcessHandle.current().pid())).start().waitFor();
        } catch (final IOException e) {
            throw new UncheckedIOException(e);
        } catch (final InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
