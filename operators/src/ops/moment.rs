//! The current record's time while a node works.

use millstream_state::model::Timestamp;

use crate::context::Context;

/// Does `work` with the time of the current record being `time`: a node that hands on a record with another time than
/// its own makes that the time of what follows, changelog records included, as Kafka Streams does.
pub(crate) fn at<T>(cx: &mut Context, time: Timestamp, work: impl FnOnce(&mut Context) -> T) -> T {
    let before = std::mem::replace(&mut cx.state.record.timestamp, time);
    let done = work(cx);
    cx.state.record.timestamp = before;
    done
}
