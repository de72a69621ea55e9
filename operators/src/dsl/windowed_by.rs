//! Which kind of stream which kind of windows makes of a grouped one.

use super::cogroup_part::AnyFixed;
use super::cogrouped::{
    CogroupedKStream, SessionWindowedCogroupedKStream, SlidingWindowedCogroupedKStream, TimeWindowedCogroupedKStream,
};
use super::grouped::KGroupedStream;
use super::session_windowed::SessionWindowedKStream;
use super::session_windows::SessionWindows;
use super::sliding_windowed::SlidingWindowedKStream;
use super::sliding_windows::SlidingWindows;
use super::time_windows::{FixedWindows, TimeWindows};
use super::unlimited_windows::UnlimitedWindows;
use super::windowed::TimeWindowedKStream;

/// Windows that a grouped stream can be divided into: the overloads of Kafka Streams' `windowedBy`.
pub trait WindowedBy: Sized + sealed::Sealed {
    /// What a grouped stream becomes.
    type Stream<K: 'static, V: 'static>;

    /// What a cogroup becomes.
    type Cogrouped<K: 'static, A: 'static>;

    /// Divides a grouped stream into these windows.
    #[doc(hidden)]
    fn divide<K: 'static, V: 'static>(self, group: KGroupedStream<K, V>) -> Self::Stream<K, V>;

    /// Divides a cogroup into these windows.
    #[doc(hidden)]
    fn divide_cogrouped<K: 'static, A: 'static>(self, group: CogroupedKStream<K, A>) -> Self::Cogrouped<K, A>;
}

mod sealed {
    /// Only the windows of this crate.
    pub trait Sealed {}
}

impl sealed::Sealed for TimeWindows {}

impl WindowedBy for TimeWindows {
    type Stream<K: 'static, V: 'static> = TimeWindowedKStream<K, V>;
    type Cogrouped<K: 'static, A: 'static> = TimeWindowedCogroupedKStream<K, A>;

    fn divide<K: 'static, V: 'static>(self, group: KGroupedStream<K, V>) -> Self::Stream<K, V> {
        group.check(|node| FixedWindows::check(&self, node));
        TimeWindowedKStream::new(group, self)
    }

    fn divide_cogrouped<K: 'static, A: 'static>(self, group: CogroupedKStream<K, A>) -> Self::Cogrouped<K, A> {
        TimeWindowedCogroupedKStream::new(group, AnyFixed::Time(self))
    }
}

impl sealed::Sealed for UnlimitedWindows {}

impl WindowedBy for UnlimitedWindows {
    type Stream<K: 'static, V: 'static> = TimeWindowedKStream<K, V, UnlimitedWindows>;
    type Cogrouped<K: 'static, A: 'static> = TimeWindowedCogroupedKStream<K, A>;

    fn divide<K: 'static, V: 'static>(self, group: KGroupedStream<K, V>) -> Self::Stream<K, V> {
        group.check(|node| FixedWindows::check(&self, node));
        TimeWindowedKStream::new(group, self)
    }

    fn divide_cogrouped<K: 'static, A: 'static>(self, group: CogroupedKStream<K, A>) -> Self::Cogrouped<K, A> {
        TimeWindowedCogroupedKStream::new(group, AnyFixed::Unlimited(self))
    }
}

impl sealed::Sealed for SlidingWindows {}

impl WindowedBy for SlidingWindows {
    type Stream<K: 'static, V: 'static> = SlidingWindowedKStream<K, V>;
    type Cogrouped<K: 'static, A: 'static> = SlidingWindowedCogroupedKStream<K, A>;

    fn divide<K: 'static, V: 'static>(self, group: KGroupedStream<K, V>) -> Self::Stream<K, V> {
        group.check(|node| SlidingWindows::check(&self, node));
        SlidingWindowedKStream::new(group, self)
    }

    fn divide_cogrouped<K: 'static, A: 'static>(self, group: CogroupedKStream<K, A>) -> Self::Cogrouped<K, A> {
        SlidingWindowedCogroupedKStream::new(group, self)
    }
}

impl sealed::Sealed for SessionWindows {}

impl WindowedBy for SessionWindows {
    type Stream<K: 'static, V: 'static> = SessionWindowedKStream<K, V>;
    type Cogrouped<K: 'static, A: 'static> = SessionWindowedCogroupedKStream<K, A>;

    fn divide<K: 'static, V: 'static>(self, group: KGroupedStream<K, V>) -> Self::Stream<K, V> {
        group.check(|node| SessionWindows::check(&self, node));
        SessionWindowedKStream::new(group, self)
    }

    fn divide_cogrouped<K: 'static, A: 'static>(self, group: CogroupedKStream<K, A>) -> Self::Cogrouped<K, A> {
        SessionWindowedCogroupedKStream::new(group, self)
    }
}
