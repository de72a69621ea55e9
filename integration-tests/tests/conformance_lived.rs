//! The recorded vectors of Kafka Streams, lived through by the real runtime on the embedded broker.

fn main() -> std::process::ExitCode {
    millstream_integration_tests::conformance::lived::main()
}
