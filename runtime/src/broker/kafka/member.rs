//! A member of a group: the handle. What it stands for is in `membership`.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Thread;

use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::Consumer as _;

use super::membership::{Command, Membership, Told};
use super::{Consuming, KafkaSettings, config, native};
use crate::broker::{
    BrokerError, ErrorClass, Member, MemberEvent, MemberSettings, OffsetCommit, Ownership, Ticket, Wake,
};

/// How many events or commands may wait. A revocation waits to be acknowledged, so that few ever do.
const WAITING: usize = 64;

/// A [`Member`] with a thread of its own. Dropped without [`Member::leave`], a static member stays in the group until its
/// session times out, as after a crash; others leave.
pub(super) struct KafkaMember {
    group: String,
    events: Receiver<Told>,
    commands: SyncSender<Command>,
    thread: Thread,
    revocation: u64,
    wake: Wake,
}

impl KafkaMember {
    pub(super) fn new(settings: &KafkaSettings, member: MemberSettings, wake: Wake) -> Result<Self, BrokerError> {
        let call = || format!("join group {}", member.group);
        let (tell, events) = sync_channel(WAITING);
        let (commands, served) = sync_channel(WAITING);
        let patience = member.max_poll_interval / 2;
        let membership = Membership::new(member.group.clone(), patience, wake.clone(), tell, served);
        let mut consumer = native::Consumer::from_config_and_context(
            &config::member(settings, &member)?,
            Consuming::member(membership),
        )
        .map_err(|error| config::not_made(&call(), &error))?;
        // The thread sleeps parked, so that both librdkafka's events and our commands wake it; it is told who it is first.
        let (start, begin) = sync_channel::<Arc<native::Consumer>>(1);
        let thread = std::thread::Builder::new().name(format!("group {}", member.client_id));
        let thread = thread
            .spawn(move || {
                if let Ok(consumer) = begin.recv() {
                    Membership::run(&consumer);
                }
            })
            .map_err(|error| BrokerError::new(ErrorClass::Fatal, call(), error.to_string()))?
            .thread()
            .clone();
        let sleeper = thread.clone();
        consumer.set_nonempty_callback(move || sleeper.unpark());
        let topics: Vec<&str> = member.topics.iter().map(|topic| &**topic).collect();
        consumer.subscribe(&topics).map_err(|error| BrokerError::new(ErrorClass::Fatal, call(), error.to_string()))?;
        // The thread waits for it, or has died of a panic, which the first ticket tells.
        let _ = start.send(Arc::new(consumer));
        Ok(Self { group: member.group, events, commands, thread, revocation: 0, wake })
    }

    fn command(&self, command: Command) {
        if self.commands.try_send(command).is_err() {
            // The command is dropped, and its completer says that nobody knows.
            tracing::warn!(group = self.group, "the membership's thread takes no more commands");
        }
        self.thread.unpark();
    }
}

impl Member for KafkaMember {
    fn poll(&mut self) -> Option<MemberEvent> {
        Some(match self.events.try_recv().ok()? {
            Told::Revoking(number) => {
                self.revocation = number;
                MemberEvent::Revoking
            }
            Told::Assigned(assigned) => MemberEvent::Assigned(assigned),
            Told::Lost => MemberEvent::Lost,
            Told::Refused(error) => MemberEvent::Refused(error),
            Told::Failed(error) => MemberEvent::Failed(error),
        })
    }

    fn acknowledge(&mut self) {
        self.command(Command::Acknowledge(self.revocation));
    }

    fn commit(&mut self, offsets: Vec<OffsetCommit>, ownership: &Ownership) -> Ticket<()> {
        let (done, ticket) = Ticket::pair(self.wake.clone());
        let (generation, member_id) = (ownership.generation, ownership.member_id.clone());
        self.command(Command::Commit { offsets, generation, member_id, done });
        ticket
    }

    fn leave(&mut self) -> Ticket<()> {
        let (done, ticket) = Ticket::pair(self.wake.clone());
        self.command(Command::Leave(done));
        ticket
    }
}

impl Drop for KafkaMember {
    fn drop(&mut self) {
        self.thread.unpark();
    }
}
