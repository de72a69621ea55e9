//! Faults: each kind of call can fail before its effect, lose its answer, or be held.

use std::sync::Mutex;

use super::super::super::ErrorClass;
use super::*;

/// Faults for one kind of call, from the first such call on until it is lifted.
#[derive(Default)]
struct Plan {
    fault: Mutex<Option<(CallKind, Fault)>>,
    seen: Mutex<Vec<CallInfo>>,
}

impl Faults for Plan {
    fn decide(&self, call: &CallInfo) -> Fault {
        self.seen.lock().unwrap().push(call.clone());
        match &*self.fault.lock().unwrap() {
            Some((kind, fault)) if *kind == call.kind => fault.clone(),
            _ => Fault::None,
        }
    }
}

impl Plan {
    fn set(&self, kind: CallKind, fault: Fault) {
        *self.fault.lock().unwrap() = Some((kind, fault));
    }

    fn lift(&self) {
        *self.fault.lock().unwrap() = None;
    }
}

fn faulty() -> (EmbeddedBroker, Arc<Plan>) {
    let plan = Arc::new(Plan::default());
    (cluster().0.with_faults(plan.clone()), plan)
}

fn refused() -> Fault {
    Fault::FailBefore(BrokerError::new(ErrorClass::Retriable, "a call", "as planned"))
}

/// Makes every call once.
fn one_of_each(broker: &EmbeddedBroker) -> Result<(), BrokerError> {
    let (admin, name) = (broker.admin(), Arc::<str>::from("all"));
    let wanted = NewTopic { name: name.clone(), partitions: 1, replication: None, config: BTreeMap::new() };
    done(admin.create_topics(vec![wanted]))?;
    done(admin.describe_topics(vec![name.clone()]))?;
    let partition = TopicPartition::new(name.clone(), 0);
    let mut member = member(broker, "m", None, &name);
    let mut held = assigned(&mut *member);
    held.partitions[0].queue.seek(Position::START)?;
    let settings = ProducerSettings {
        client_id: "p".to_owned(),
        transactional_id: Some("id".to_owned()),
        transaction_timeout: TRANSACTION,
    };
    let mut producer = broker.producer(settings, Wake::nobody())?;
    done(producer.init())?;
    producer.begin()?;
    done(producer.abort())?;
    producer.begin()?;
    send(&mut *producer, &name, START, "v")?;
    done(producer.flush())?;
    done(producer.send_offsets(commit(&name, 0, 1), &held.ownership))?;
    done(producer.commit())?;
    held.partitions[0].queue.drain(1)?;
    done(member.commit(commit(&name, 0, 1), &held.ownership))?;
    done(admin.committed("group", vec![partition.clone()]))?;
    done(admin.start_positions(vec![partition.clone()]))?;
    done(admin.end_positions(vec![partition.clone()], Isolation::ReadCommitted))?;
    done(admin.delete_records(vec![(partition, Position::new(1))]))?;
    let left = member.leave();
    assert_eq!(name_of(member.poll().as_ref()), "revoking");
    drop(held);
    member.acknowledge();
    done(left)?;
    done(admin.delete_topics(vec![name]))
}

#[test]
fn every_kind_of_call_asks_the_faults_and_is_counted() {
    let (broker, plan) = faulty();
    one_of_each(&broker).unwrap();
    let seen = plan.seen.lock().unwrap();
    for kind in CallKind::ALL {
        assert!(seen.iter().any(|call| call.kind == kind), "{kind:?}");
    }
    let indexes: Vec<u64> = seen.iter().map(|call| call.index).collect();
    assert_eq!(indexes, (0..seen.len() as u64).collect::<Vec<_>>());
}

#[test]
fn every_kind_of_call_can_fail_before_its_effect() {
    for kind in CallKind::ALL.into_iter().filter(|kind| *kind != CallKind::Leave) {
        let (broker, plan) = faulty();
        plan.set(kind, refused());
        assert_eq!(one_of_each(&broker).unwrap_err().reason, "as planned", "{kind:?}");
    }
}

#[test]
fn a_commit_whose_answer_is_lost_has_happened_and_can_be_called_again() {
    let (broker, plan) = faulty();
    let topic = topic(&broker, "t", 1, &[]);
    let mut producer = producer(&broker, Some("id"));
    producer.begin().unwrap();
    send(&mut *producer, &topic, START, "v").unwrap();
    plan.set(CallKind::Commit, Fault::LoseAnswer);
    assert_eq!(done(producer.commit()).unwrap_err().class, ErrorClass::Unknown);
    plan.lift();
    assert_eq!(values(&broker, "t", Isolation::ReadCommitted), ["v"]);
    assert!(producer.begin().is_err(), "the outcome is not settled");
    done(producer.commit()).unwrap();
    producer.begin().unwrap();
}

#[test]
fn a_commit_that_failed_before_its_effect_can_be_called_again() {
    let (broker, plan) = faulty();
    let topic = topic(&broker, "t", 1, &[]);
    let mut producer = producer(&broker, Some("id"));
    producer.begin().unwrap();
    send(&mut *producer, &topic, START, "v").unwrap();
    plan.set(CallKind::Commit, Fault::FailBefore(BrokerError::unknown("commit", "no route")));
    assert_eq!(done(producer.commit()).unwrap_err().class, ErrorClass::Unknown);
    plan.lift();
    assert!(values(&broker, "t", Isolation::ReadCommitted).is_empty());
    done(producer.commit()).unwrap();
    assert_eq!(values(&broker, "t", Isolation::ReadCommitted), ["v"]);
}

#[test]
fn a_held_commit_has_happened_and_a_delayed_one_has_not() {
    for (fault, before) in [(Fault::Hold, 1), (Fault::Delay, 0)] {
        let (broker, plan) = faulty();
        let topic = topic(&broker, "t", 1, &[]);
        let mut producer = producer(&broker, Some("id"));
        producer.begin().unwrap();
        send(&mut *producer, &topic, START, "v").unwrap();
        plan.set(CallKind::Commit, fault);
        let mut ticket = producer.commit();
        assert!(ticket.poll().is_none());
        assert_eq!(values(&broker, "t", Isolation::ReadCommitted).len(), before);
        assert_eq!(broker.held_calls().len(), 1);
        assert_eq!(broker.release_calls(|call| call.kind == CallKind::Commit), 1);
        done(ticket).unwrap();
        assert_eq!(values(&broker, "t", Isolation::ReadCommitted), ["v"]);
    }
}

#[test]
fn a_commit_that_arrives_after_its_producer_was_fenced_changes_nothing() {
    let (broker, plan) = faulty();
    let topic = topic(&broker, "t", 1, &[]);
    let mut old = producer(&broker, Some("id"));
    old.begin().unwrap();
    send(&mut *old, &topic, START, "old").unwrap();
    plan.set(CallKind::Commit, Fault::Delay);
    let late = old.commit();
    plan.lift();
    let _new = producer(&broker, Some("id"));
    broker.release_calls(|_| true);
    assert_eq!(done(late).unwrap_err().class, ErrorClass::ProducerFenced);
    assert!(values(&broker, "t", Isolation::ReadCommitted).is_empty());
}

#[test]
fn a_commit_that_arrives_twice_is_one_commit() {
    let (broker, plan) = faulty();
    let topic = topic(&broker, "t", 1, &[]);
    let mut producer = producer(&broker, Some("id"));
    producer.begin().unwrap();
    send(&mut *producer, &topic, START, "v").unwrap();
    plan.set(CallKind::Commit, Fault::Twice);
    done(producer.commit()).unwrap();
    plan.lift();
    assert_eq!(values(&broker, "t", Isolation::ReadCommitted), ["v"]);
    assert_eq!(broker.end("t", 0, Isolation::ReadUncommitted).unwrap().number(), 2, "one marker");
    producer.begin().unwrap();
}

#[test]
fn a_commit_answered_late_after_one_without_an_answer_is_settled() {
    let (broker, plan) = faulty();
    let topic = topic(&broker, "t", 1, &[]);
    let mut producer = producer(&broker, Some("id"));
    producer.begin().unwrap();
    send(&mut *producer, &topic, START, "v").unwrap();
    plan.set(CallKind::Commit, Fault::LoseAnswer);
    assert_eq!(done(producer.commit()).unwrap_err().class, ErrorClass::Unknown);
    plan.set(CallKind::Commit, Fault::Hold);
    let late = producer.commit();
    broker.release_calls(|_| true);
    done(late).unwrap();
    producer.begin().unwrap();
}

#[test]
fn a_record_whose_acknowledgement_is_lost_dooms_its_transaction() {
    let (broker, plan) = faulty();
    let topic = topic(&broker, "t", 1, &[]);
    let mut producer = producer(&broker, Some("id"));
    producer.begin().unwrap();
    plan.set(CallKind::Produce, Fault::LoseAnswer);
    assert!(send(&mut *producer, &topic, START, "v").unwrap());
    plan.lift();
    assert_eq!(done(producer.flush()).unwrap_err().class, ErrorClass::Unknown);
    assert_eq!(done(producer.commit()).unwrap_err().class, ErrorClass::Abortable);
    done(producer.abort()).unwrap();
    assert!(values(&broker, "t", Isolation::ReadCommitted).is_empty());
    assert_eq!(values(&broker, "t", Isolation::ReadUncommitted), ["v"]);
}

#[test]
fn calls_through_other_handles_go_on_undisturbed() {
    let (broker, _clock) = cluster();
    let plan = Arc::new(Plan::default());
    plan.set(CallKind::DescribeTopics, refused());
    let disturbed = broker.for_client("disturbed").with_faults(plan.clone());
    assert!(done(disturbed.admin().describe_topics(Vec::new())).is_err());
    assert!(done(broker.admin().describe_topics(Vec::new())).is_ok());
    assert_eq!(&*plan.seen.lock().unwrap()[0].client, "disturbed");
}
