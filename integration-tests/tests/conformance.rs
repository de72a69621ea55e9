//! The recorded vectors of Kafka Streams, played through the test driver (see `vectors/README.md`).

fn main() -> std::process::ExitCode {
    millstream_integration_tests::conformance::main()
}
