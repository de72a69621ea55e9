# Thin: each target says in one line what it runs.

.PHONY: help demo word-count test bench chaos torture kafka kafka-stop

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 12

demo: ## counts the year's 336,776 flights on the embedded broker
	@scripts/install.sh build
	cargo run --package millstream-examples --bin flights

word-count: ## counts the words of a text on the embedded broker
	@scripts/install.sh build
	cargo run --package millstream-examples --bin word_count

test: ## all checks and all tests, with a real broker
	@scripts/install.sh test
	scripts/test.sh

bench: ## throughput beside the raw client loop, on a real broker
	@scripts/install.sh test
	scripts/with-kafka.sh sh -c 'for workload in passthrough count; do cargo bench --package millstream-benches \
	  --bench throughput -- --bootstrap-servers "$$MILLSTREAM_TEST_BOOTSTRAP" --workload $$workload || exit 1; done'

chaos: ## kills three processes again and again while the flights are counted (long; SEED=n, KILLS=n)
	@scripts/install.sh test
	scripts/with-kafka.sh scripts/chaos.sh

torture: ## simulated lives of a cluster under faults, then real faults on three real brokers (MINUTES=n, SEED=s)
	@scripts/install.sh test
	MINUTES=$(MINUTES) SEED=$(SEED) scripts/torture.sh

kafka: ## starts a real Apache Kafka and prints its address
	@scripts/install.sh test
	@scripts/kafka.sh start

kafka-stop: ## stops it and removes its data
	@scripts/kafka.sh stop
