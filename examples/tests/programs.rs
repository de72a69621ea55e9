//! The programs as a person runs them: the known totals of the year come out.
#![allow(clippy::expect_used, reason = "a test may panic, also in what its tests share")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

fn start(program: &str, arguments: &[&str]) -> Child {
    Command::new(program).args(arguments).stdout(Stdio::piped()).spawn().expect("the program can be started")
}

fn ended(child: Child) -> String {
    let output = child.wait_with_output().expect("the program was started");
    assert!(output.status.success(), "{}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

fn assert_totals(line: &str) {
    let said: Value = serde_json::from_str(line).expect("one line of JSON");
    let totals = |flights: u32, departures: u32, delay_sum: u32, delay_max: u32| json!({ "flights": flights, "departures": departures, "delay_sum": delay_sum, "delay_max": delay_max });
    assert_eq!(said["origins"]["EWR"], totals(120_835, 117_596, 1_776_635, 1_126));
    assert_eq!(said["origins"]["JFK"], totals(111_279, 109_416, 1_325_264, 1_301));
    assert_eq!(said["origins"]["LGA"], totals(104_662, 101_509, 1_050_301, 911));
    let carriers = said["carriers"].as_object().expect("an object");
    assert_eq!(carriers.len(), 16);
    assert_eq!(carriers.values().filter_map(Value::as_u64).sum::<u64>(), 336_776);
    assert_eq!(said["hours"], 19_486);
}

#[test]
fn flights_on_the_embedded_broker_gives_the_known_totals() {
    for guarantee in ["exactly-once", "at-least-once"] {
        assert_totals(&ended(start(env!("CARGO_BIN_EXE_flights"), &["--json", "--guarantee", guarantee])));
    }
}

#[test]
fn three_processes_that_all_write_and_count_give_the_known_totals_together() {
    let Ok(bootstrap) = std::env::var("MILLSTREAM_TEST_BOOTSTRAP") else {
        // Straight to the output: the test harness keeps what a passing test prints.
        let _ = writeln!(std::io::stdout(), "NOT RUN: MILLSTREAM_TEST_BOOTSTRAP is not set");
        return;
    };
    let state = tempfile::tempdir().expect("a folder for temporary files");
    let application = format!("three-{}", std::process::id());
    let run = |folder: &Path| {
        let folder = folder.to_str().expect("a path in UTF-8");
        let arguments =
            ["--bootstrap-servers", &bootstrap, "--application-id", &application, "--state-dir", folder, "--json"];
        start(env!("CARGO_BIN_EXE_flights"), &arguments)
    };
    let processes = ["a", "b", "c"].map(|name| run(&state.path().join(name)));
    for process in processes {
        assert_totals(&ended(process));
    }
    // One more finds all of it done.
    assert_totals(&ended(run(&state.path().join("a"))));
}

#[test]
fn word_count_shows_the_most_frequent_words() {
    assert_eq!(ended(start(env!("CARGO_BIN_EXE_word_count"), &["--top", "2"])), "    55 the\n    18 and\n");
}

/// Lost once: the panic message of `println!` for `flights | head -1` whose reader had ended.
#[test]
fn a_program_whose_reader_is_gone_ends_without_a_word() {
    for program in [env!("CARGO_BIN_EXE_flights"), env!("CARGO_BIN_EXE_word_count")] {
        let mut command = Command::new(program);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).env_remove("RUST_LOG").env_remove("RUST_BACKTRACE");
        let mut child = command.spawn().expect("the program can be started");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("the program was started");
        // What a shell shows for the usual tools, which SIGPIPE ends.
        assert_eq!(output.status.code(), Some(141), "{program}: {}", output.status);
        let said = String::from_utf8(output.stderr).expect("text");
        assert!(!said.contains("panicked") && !said.contains("Error"), "{program}: {said}");
    }
}
