//! Messages between the halves of a topology: subscriptions and answers of foreign-key joins, changes of grouped tables.

use arbitrary::Arbitrary;
use millstream_operators::foreign_key::{Instruction, Response, Subscription, response, subscription};
use millstream_state::serdes::{byte_vec, string};

use crate::Must as _;
use crate::{canonical, encoded, reread, round_trip};

#[allow(unreachable_pub, dead_code, reason = "a file of another crate")]
#[path = "../../operators/src/ops/change.rs"]
mod change;

use change::Change;

#[derive(Arbitrary, Debug)]
struct Parts {
    hash: Option<[u64; 2]>,
    instruction: u8,
    partition: Option<i32>,
    new: Option<Vec<u8>>,
    old: Option<Vec<u8>>,
    text: String,
}

/// Checks all formats of messages.
pub fn check(bytes: &[u8]) {
    if let Some(parts) = crate::arbitrary(bytes) {
        subscription_made(&parts);
        response_made(&parts);
        change_made(&parts);
    }
    subscription_read(bytes);
    response_read(bytes);
    change_read(bytes);
}

fn subscription_made(parts: &Parts) {
    let all = [
        Instruction::DeleteSilently,
        Instruction::DeleteAndAnswer,
        Instruction::AnswerAlways,
        Instruction::AnswerIfPresent,
    ];
    let instruction = all[usize::from(parts.instruction % 4)];
    let (hash, primary_partition) = (parts.hash, parts.partition);
    let primary_key = parts.text.clone();
    round_trip(&*subscription(string()), &Subscription { hash, instruction, primary_key, primary_partition });
    let primary_key = parts.new.clone().unwrap_or_default();
    round_trip(&*subscription(byte_vec()), &Subscription { hash, instruction, primary_key, primary_partition });
}

fn subscription_read(bytes: &[u8]) {
    canonical(&*subscription(byte_vec()), bytes);
    canonical(&*subscription(string()), bytes);
    // The key's own serde may be of the same kind: it sees only its part.
    canonical(&*subscription(millstream_state::serdes::i64()), bytes);
}

fn response_made(parts: &Parts) {
    // An empty value reads as none, as in Kafka Streams.
    let foreign_value = parts.new.clone().filter(|value| !value.is_empty());
    round_trip(&*response(byte_vec()), &Response { hash: parts.hash, foreign_value, primary_partition: None });
}

fn response_read(bytes: &[u8]) {
    canonical(&*response(byte_vec()), bytes);
    canonical(&*response(string()), bytes);
}

fn change_made(parts: &Parts) {
    let serde = change::change(byte_vec());
    let sent = Change { new: parts.new.clone(), old: parts.old.clone() };
    if sent.new.is_none() && sent.old.is_none() {
        assert!(serde.encode(&sent, &mut Vec::new()).is_err(), "a change of nothing into nothing is none");
        return;
    }
    round_trip(&*serde, &sent);
    // With the byte that says whether it is the latest, as Kafka Streams may write it.
    let mut flagged = encoded(&*serde, &sent);
    let flag = flagged.pop().must("the flag is the last byte");
    flagged.extend([parts.instruction & 1, flag + 3]);
    assert_eq!(serde.decode(Some(&flagged)).must("both forms are read"), sent);
}

fn change_read(bytes: &[u8]) {
    let serde = change::change(byte_vec());
    if let Some(read) = reread(&*serde, bytes) {
        assert!(read.new.is_some() || read.old.is_some());
        // One form but for lengths that are written longer than need be.
        let again = encoded(&*serde, &read);
        let both = read.new.is_some() && read.old.is_some();
        assert!(bytes.last().is_some_and(|flag| *flag >= 3) || again == bytes || both && again.len() < bytes.len());
    }
    let _ = reread(&*change::change(string()), bytes);
    let _ = reread(&*change::change(change::change(string())), bytes);
}
