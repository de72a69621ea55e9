//! A sample of the recorded vectors of Kafka Streams, lived through by the real runtime on a real Kafka.
//!
//! Needs `MILLSTREAM_TEST_BOOTSTRAP`; without it the test says that it was not run.

fn main() -> std::process::ExitCode {
    millstream_integration_tests::conformance::lived::main_on_kafka()
}
