//! A call that does not return, without a broker: the client is real, the stuck call is put there by hand.

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext as _;

use super::super::Producing;
use super::*;

fn caller() -> Caller {
    let sender = Sender::from_config_and_context(&ClientConfig::new(), Producing::default()).unwrap();
    Caller::new("p".into(), Arc::new(sender), true, Duration::from_secs(10), Wake::nobody()).unwrap()
}

/// Stuck since long ago.
fn stick(caller: &Caller) -> Ticket<()> {
    let (done, ticket) = Ticket::pair(Wake::nobody());
    *locked(&caller.under_way) = Some(UnderWay { done, until: Monotonic::default() });
    ticket
}

fn class(ticket: &mut Ticket<()>) -> Option<ErrorClass> {
    ticket.poll().map(|answer| answer.unwrap_err().class)
}

/// Lost twice, thirty seconds each: whoever called next waited behind a call that did not come back.
#[test]
fn nobody_waits_behind_a_call_that_does_not_return() {
    let caller = caller();
    let mut stuck = stick(&caller);
    let mut behind = caller.start(What::Flush);
    assert!(behind.poll().is_none());
    caller.watch();
    assert_eq!(class(&mut stuck), Some(ErrorClass::Unknown));
    assert_eq!(class(&mut behind), Some(ErrorClass::Unknown));
    // A commit that is asked for again is settled by a new producer.
    assert_eq!(class(&mut caller.start(What::Commit)), Some(ErrorClass::ProducerFenced));
}

#[test]
fn a_call_that_takes_its_time_is_let_be() {
    let caller = caller();
    let (done, mut ticket) = Ticket::pair(Wake::nobody());
    let until = caller.clock.monotonic().after(Duration::from_secs(3600));
    *locked(&caller.under_way) = Some(UnderWay { done, until });
    caller.watch();
    assert!(ticket.poll().is_none());
    assert!(caller.alive().is_ok());
}

/// One that came in while the others were being told would be told by nobody else.
#[test]
fn a_call_that_comes_too_late_to_be_refused_is_answered_by_the_next_look() {
    let caller = caller();
    drop(stick(&caller));
    caller.watch();
    let (done, mut late) = Ticket::pair(Wake::nobody());
    assert!(caller.calls.try_send(Call { what: What::Abort, done: Some(done) }).is_ok());
    caller.watch();
    assert_eq!(class(&mut late), Some(ErrorClass::Unknown));
}
