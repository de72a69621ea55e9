//! A member that leaves while its brokers are gone: with a coordinator that is not there any more, and after it has
//! noticed that its session is over.

use millstream::broker::MemberEvent;
use millstream::broker::kafka::{KafkaBroker, KafkaSettings};
use millstream_integration_tests::proxy::Proxy;
use millstream_integration_tests::support::leave;

use crate::{assigned, broker, join, topic, unique, until};

/// Versions of librdkafka have ended the process here, with a coordinator that was a null pointer. The other test of it is
/// `real_faults`, with a process as it is stopped.
#[test]
fn a_member_whose_brokers_are_gone_leaves_all_the_same() {
    let Some(direct) = broker() else { return };
    let bootstrap = std::env::var("MILLSTREAM_TEST_BOOTSTRAP").unwrap();
    let topic = topic(&direct, "leaving", 2);
    for (instance, notices) in [(None, false), (None, true), (Some("static"), false), (Some("static"), true)] {
        let proxy = Proxy::start(&bootstrap, 1).unwrap();
        let broker = KafkaBroker::new(KafkaSettings::new(proxy.address())).unwrap();
        let mut member = join(&broker, &unique("leaving"), instance, &topic);
        let held = assigned(&mut *member);
        assert_eq!(held.partitions.len(), 2);
        proxy.close_ports();
        if notices {
            until("a loss", || match member.poll()? {
                MemberEvent::Lost => Some(()),
                MemberEvent::Revoking => {
                    member.acknowledge();
                    Some(())
                }
                _ => panic!("neither lost nor revoked"),
            });
        }
        drop(held);
        leave(&mut *member);
    }
}
