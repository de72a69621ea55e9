//! What happens to a cluster from outside: the timeline of a life, and the end of everything that was wrong.

use std::time::Duration;

use millstream::broker::{Broker, ProducerSettings, Wake};
use millstream::clock::Monotonic;
use millstream::state::engine::Fault;

use super::APP;
use super::life::Life;
use super::process::Machine;
use super::scenario::Event;

/// Machines at most.
const MOST_MACHINES: usize = 4;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn client(machine: &Machine) -> String {
    format!("{APP}-{}", machine.name)
}

impl Life {
    /// Does what is due from outside.
    pub(super) fn happen(&mut self) -> Result<(), String> {
        let now = self.now();
        for call in self.weather.due(now) {
            self.broker.release_calls(|held| held.index == call);
        }
        for index in 0..self.machines.len() {
            self.timers(index, now);
        }
        while let Some((at, event)) = self.scenario.timeline.get(self.next_event).copied() {
            if at > now {
                break;
            }
            self.next_event += 1;
            self.event(event, now)?;
        }
        Ok(())
    }

    fn timers(&mut self, index: usize, now: Monotonic) {
        let machine = &mut self.machines[index];
        if machine.paused_until.is_some_and(|until| until <= now) {
            machine.paused_until = None;
            self.trace.note(|| format!("{} goes on", machine.name));
            self.refresh(index);
        }
        let machine = &mut self.machines[index];
        if machine.cut_until.is_some_and(|until| until <= now) {
            machine.cut_until = None;
            self.trace.note(|| format!("{} is heard again", machine.name));
            if let Some(process) = &machine.process {
                process.link.cut(None);
            }
            self.refresh(index);
        }
        let machine = &mut self.machines[index];
        if machine.disk_heals_at.is_some_and(|at| at <= now) {
            machine.disk_heals_at = None;
            machine.storage.heal();
        }
        if machine.start_at.is_some_and(|at| at <= now) && machine.process.is_none() {
            self.boot(index);
        }
    }

    /// Tells the broker whether a machine is heard.
    fn refresh(&self, index: usize) {
        let machine = &self.machines[index];
        let client = client(machine);
        self.broker.set_cut_off(&client, machine.cut_until.is_some());
        if machine.paused_until.is_some() {
            self.broker.set_heartbeats(&client, false);
        }
    }

    fn event(&mut self, event: Event, now: Monotonic) -> Result<(), String> {
        match event {
            Event::Burst(count) => return self.write(count),
            Event::Join if self.machines.len() < MOST_MACHINES => {
                self.trace.fault("member joins", "");
                self.add_machine();
            }
            Event::Join => {}
            Event::CoordinatorChange(length) => {
                self.trace.fault("coordinator change", length);
                self.weather.coordinators_away(now.after(millis(length)));
            }
            Event::BrokerRestart(length) => {
                self.trace.fault("broker restart", length);
                self.weather.broker_away(now.after(millis(length)));
                for index in 0..self.machines.len() {
                    let machine = &mut self.machines[index];
                    machine.cut_until = machine.cut_until.max(Some(now.after(millis(length))));
                    self.refresh(index);
                }
            }
            Event::Panic(records) => {
                self.trace.fault("panic in user code", records);
                self.fuse.light(records as i64);
            }
            Event::Compact => {
                self.trace.fault("compaction", "");
                let changelogs = self.broker.topics().into_iter().filter(|topic| topic.ends_with("-changelog"));
                changelogs.for_each(|topic| self.broker.compact(&topic));
            }
            Event::Kill(who)
            | Event::CrashAtEffect(who, _)
            | Event::PowerLoss(who)
            | Event::MachineLoss(who)
            | Event::Pause(who, _)
            | Event::Stall(who, _)
            | Event::CutOff(who, _)
            | Event::DiskFault(who, ..)
            | Event::Leave(who, _)
            | Event::Fence(who) => self.hit(who as usize % self.machines.len(), event, now),
        }
        Ok(())
    }

    /// Something happens to one machine.
    fn hit(&mut self, index: usize, event: Event, now: Monotonic) {
        let name = self.machines[index].name.clone();
        let machine = &mut self.machines[index];
        match event {
            Event::MachineLoss(_) => {
                self.trace.fault("machine lost with its disk", &name);
                self.kill(index);
                let back = millis(self.dice.between(0, 900));
                let mut fresh = self.new_machine();
                fresh.start_at = Some(now.after(back));
                self.broker.set_cut_off(&client(&self.machines[index]), false);
                self.machines[index] = fresh;
            }
            Event::PowerLoss(_) => {
                self.trace.fault("power loss", &name);
                self.kill(index);
                let dice = &mut self.dice;
                self.machines[index].storage.lose_suffix(|writes| dice.below(writes as u64 + 1) as usize);
            }
            Event::DiskFault(_, writes, length) => {
                let full = self.dice.chance(500);
                self.trace.fault(if full { "full disk" } else { "disk write error" }, &name);
                machine.storage.inject(if full { Fault::DiskFull } else { Fault::ReadOnly }, writes as u32);
                machine.disk_heals_at = Some(now.after(millis(length)));
            }
            Event::CutOff(_, length) => {
                self.trace.fault("partition from the broker", &name);
                let until = machine.cut_until.max(Some(now.after(millis(length))));
                machine.cut_until = until;
                if let Some(process) = &machine.process {
                    process.link.cut(until);
                }
                self.refresh(index);
            }
            Event::Fence(_) => {
                let worker = self.dice.below(3);
                self.trace.fault("producer fenced", format!("{name}, worker {worker}"));
                let settings = ProducerSettings {
                    client_id: "operator".into(),
                    transactional_id: Some(format!("{APP}-{name}-{worker}")),
                    transaction_timeout: Duration::from_secs(10),
                };
                if let Ok(mut producer) = self.broker.producer(settings, Wake::nobody()) {
                    let _done = producer.init();
                }
            }
            _ => self.hit_process(index, event, now),
        }
    }

    fn hit_process(&mut self, index: usize, event: Event, now: Monotonic) {
        let machine = &mut self.machines[index];
        let name = machine.name.clone();
        let Some(process) = &mut machine.process else { return };
        match event {
            Event::Kill(_) => {
                self.trace.fault("process killed", &name);
                self.kill(index);
            }
            Event::CrashAtEffect(_, effects) => process.link.crash_in(effects),
            Event::Pause(_, length) => {
                self.trace.fault("pause", format!("{name} for {length}"));
                machine.paused_until = machine.paused_until.max(Some(now.after(millis(length))));
                self.refresh(index);
            }
            Event::Stall(_, length) => {
                let unit = self.dice.below(process.units() as u64) as usize;
                let kind = if unit == 0 { "slow controller" } else { "slow consumer or disk" };
                self.trace.fault(kind, format!("{name}, thread {unit} for {length}"));
                process.stall(unit, now.after(millis(length)));
            }
            Event::Leave(..) if !process.stopping => {
                self.trace.fault("member leaves", &name);
                process.shut_down();
            }
            _ => {}
        }
    }

    /// Kills a process: nothing is said to anybody, its connections are cut. It is started again after a while.
    pub(super) fn kill(&mut self, index: usize) {
        let back = millis(self.dice.between(0, 900));
        let now = self.now();
        let machine = &mut self.machines[index];
        if let Some(process) = machine.process.take() {
            process.link.die();
            drop(process);
            machine.start_at = Some(now.after(back)).filter(|_| machine.wanted);
        }
        if machine.paused_until.take().is_some() {
            self.refresh(index);
        }
        let machine = &self.machines[index];
        self.broker.kill_client(&machine.name);
    }

    /// From now on nothing goes wrong any more, and who is not there is started.
    pub(super) fn calm_down(&mut self) {
        self.trace.note(|| "CALM".to_owned());
        self.calm = true;
        self.weather.clear_up();
        self.broker.release_calls(|_| true);
        self.fuse.put_out();
        let now = self.now();
        for index in 0..self.machines.len() {
            let machine = &mut self.machines[index];
            machine.storage.heal();
            machine.disk_heals_at = None;
            machine.paused_until = None;
            machine.cut_until = None;
            if let Some(process) = &mut machine.process {
                process.link.cut(None);
                process.link.forget_crash();
                process.end_stalls();
            } else {
                machine.start_at = Some(now);
            }
            self.refresh(index);
        }
    }
}
