//! Repartition topics that can become one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::stream::Upstream;
use crate::ops::inlet::{InletSettings, StreamInlet, TimeSource};
use crate::ops::outlet::{Outlet, OutletSettings};
use crate::push::{Children, Next};
use crate::topology::chain::{ChainBuilder, Inlet};
use crate::topology::graph::{Graph, Kind, NodeId, Repartition};
use crate::topology::names::RepartitionNames;
use crate::topology::port::Factory;

/// The writing side of the repartition topic `node`.
pub(super) fn outlet<K: 'static, V: 'static>(node: NodeId, writer: Arc<OutletSettings<K, V>>) -> Factory<Next<K, V>> {
    Arc::new(move |chain| {
        let skip = !chain.above_null_keys(node);
        let outlet = Outlet::new(writer.clone(), chain.sink(&writer.node)).skip_null_keys(skip);
        Rc::new(RefCell::new(outlet)) as Next<K, V>
    })
}

/// Says that a repartition topic may be merged with others below the same change of key. The topic that they become has
/// the name of the first; its node lies below the change, and is part of a topology only if they are merged.
pub(super) fn may_merge<K: 'static, V: 'static>(
    graph: &mut Graph,
    (repartition, topic): (NodeId, &Arc<str>),
    (changer, port): &Upstream<K, V>,
    writer: &OutletSettings<K, V>,
) {
    graph.mergeable(repartition, *changer, |graph| {
        let names = RepartitionNames::of_topic(topic);
        let (key, value) = (writer.key.clone(), writer.value.clone());
        let (for_key, for_value, time) = (key.clone(), value.clone(), TimeSource::Fail);
        let reader = Arc::new(InletSettings { node: names.source.clone(), key: for_key, value: for_value, time });
        let writer = Arc::new(OutletSettings { node: names.sink.clone(), key, value, partitioner: None, topic: None });
        // Which node it is is known only once it is added.
        let merged = graph.next_id();
        let above = port.clone();
        let inlet = Arc::new(move |chain: &mut ChainBuilder<'_>| {
            let down = Children::new(above.build_under(chain, Some(merged)).into_iter().map(|(_, node)| node));
            Box::new(StreamInlet::new(reader.clone(), down)) as Box<dyn Inlet>
        });
        let config = BTreeMap::new();
        let added = graph.add(Kind::Repartition(Repartition { names, partitions: None, config, inlet }), &[*changer]);
        debug_assert_eq!(added, merged);
        port.add(merged, outlet(merged, writer));
        merged
    });
}
