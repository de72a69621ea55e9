package millstream.peers;

import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/** What one process is to do: the options {@code --name value} that the bench starts it with. */
record Order(Map<String, String> options) {
    static Order parse(final String[] arguments) {
        final Map<String, String> options = new HashMap<>();
        for (int i = 0; i + 1 < arguments.length; i += 2) {
            if (!arguments[i].startsWith("--")) {
                throw new IllegalArgumentException(arguments[i] + " stands where an option's name is expected");
            }
            options.put(arguments[i].substring(2), arguments[i + 1]);
        }
        return new Order(options);
    }

    String text(final String name) {
        final String value = options.get(name);
        if (value == null) {
            throw new IllegalArgumentException("--" + name + " is needed");
        }
        return value;
    }

    long number(final String name) {
        return Long.parseLong(text(name));
    }

    /** The application id. */
    String name() {
        return text("name");
    }

    String input() {
        return text("input");
    }

    String output() {
        return text("output");
    }

    long records() {
        return number("records");
    }

    Path stateDir() {
        return Path.of(text("state-dir"));
    }
}
