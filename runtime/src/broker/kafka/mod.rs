//! The log of a real Kafka cluster, through librdkafka.
