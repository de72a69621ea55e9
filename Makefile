# Thin: each target says in one line what it runs.

.PHONY: help demo word-count test bench bench-peers bench-growth chaos torture fuzz kafka kafka-stop

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 16

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
	scripts/bench.sh throughput --workload passthrough
	scripts/bench.sh throughput --workload count

bench-peers: ## Millstream, Kafka Streams and the raw loop beside each other (long; a look: WORKLOADS=count SCALE=0.2 ROUNDS=1)
	@scripts/install.sh test
	scripts/bench-peers.sh

bench-growth: ## how cost grows with keys, record size, partitions, stores, workers and state
	@scripts/install.sh test
	mkdir -p .work/bench
	scripts/bench.sh growth --out "$(CURDIR)/.work/bench"

chaos: ## kills three processes again and again while the flights are counted (long; SEED=n, KILLS=n)
	@scripts/install.sh test
	scripts/with-kafka.sh scripts/chaos.sh

torture: ## simulated lives of a cluster under faults, then real faults on three real brokers (MINUTES=n, SEED=s)
	@scripts/install.sh test
	MINUTES=$(MINUTES) SEED=$(SEED) scripts/torture.sh

fuzz: ## looks for bytes that break a decoder, with cargo-fuzz (TARGET=x, else all; MINUTES=n each)
	@scripts/install.sh build
	TARGET=$(TARGET) MINUTES=$(MINUTES) scripts/fuzz.sh

kafka: ## starts a real Apache Kafka and prints its address
	@scripts/install.sh test
	@scripts/kafka.sh start

kafka-stop: ## stops it and removes its data
	@scripts/kafka.sh stop
