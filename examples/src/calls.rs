//! Waiting in asynchronous code for what the broker seam answers.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use millstream::broker::{Broker, BrokerError, ErrorClass, Ticket, Wake};
use tokio::sync::Notify;

/// How often a ticket is looked at. Admin tickets wake nobody, and their round trips take about this long.
const POLL: Duration = Duration::from_millis(2);

/// How many times [`ask`] repeats a question that failed for a passing reason, and how long it waits in between.
const ATTEMPTS: u32 = 60;
const PAUSE: Duration = Duration::from_millis(500);

/// How long [`reach`] waits.
const FIRST_ANSWER: Duration = Duration::from_secs(15);

/// Waits for the answer of one call.
///
/// # Errors
/// What the call answers.
pub async fn answer<T>(mut ticket: Ticket<T>) -> Result<T, BrokerError> {
    loop {
        if let Some(answer) = ticket.poll() {
            return answer;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Asks a question, which changes nothing, until it is answered: errors that pass are worth another try.
///
/// # Errors
/// The last error, if none of the attempts was answered or an error will not pass.
pub async fn ask<T>(question: impl Fn() -> Ticket<T>) -> Result<T, BrokerError> {
    let mut attempt = 1;
    loop {
        match answer(question()).await {
            Err(error) if attempt < ATTEMPTS && may_pass(error.class) => {
                tracing::debug!(%error, attempt, "asking again");
                attempt += 1;
                tokio::time::sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
}

/// Makes sure that the cluster answers, before a program waits long for what it cannot get.
///
/// # Errors
/// If it does not within a few seconds.
pub async fn reach(broker: &dyn Broker, any_topic: &Arc<str>) -> anyhow::Result<()> {
    let question = answer(broker.admin().describe_topics(vec![any_topic.clone()]));
    let answer = tokio::time::timeout(FIRST_ANSWER, question).await;
    answer.with_context(|| format!("waited for {} s", FIRST_ANSWER.as_secs()))??;
    Ok(())
}

fn may_pass(class: ErrorClass) -> bool {
    matches!(class, ErrorClass::Retriable | ErrorClass::Unknown)
}

/// A wake, and what it notifies.
pub fn notifying() -> (Wake, Arc<Notify>) {
    let notify = Arc::new(Notify::new());
    let woken = notify.clone();
    (Wake::new(move || woken.notify_one()), notify)
}

/// Waits for a wake, or for a moment: a position that only passes control records wakes nobody.
pub async fn progress(notify: &Notify) {
    // An elapsed moment is as good as a wake.
    let _ = tokio::time::timeout(Duration::from_millis(20), notify.notified()).await;
}
