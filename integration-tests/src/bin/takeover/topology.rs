//! The same operators as in takeover/Main.java, in the same order, under the same names.

use std::time::Duration;

use millstream::operators::error::BuildError;
use millstream::prelude::*;
use millstream::state::serdes::{DefaultSerde as _, option, session_windowed};

const WINDOW: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(10);
const GAP: Duration = Duration::from_secs(4);
const HOUR: Duration = Duration::from_secs(3600);

/// The topology; the user's topics are named after the application.
pub(crate) fn topology(application: &str, optimization: Optimization) -> Result<Topology, BuildError> {
    let topic = |name: &str| format!("{application}-{name}");
    let builder = StreamsBuilder::with_settings(TopologySettings { optimization, ..TopologySettings::default() });
    let clicks = builder.stream::<String, i64>(topic("clicks"));
    let views = builder.stream::<String, String>(topic("views"));
    let profiles =
        builder.table_with(topic("profiles"), Consumed::<String, String>::new(), Materialized::named("profiles"));
    let regions =
        builder.table_with(topic("regions"), Consumed::<String, String>::new(), Materialized::named("regions"));
    let prices = builder.table_with(
        topic("prices"),
        Consumed::<String, i64>::new(),
        Materialized::named("prices").versioned(HOUR),
    );

    let by_user = clicks.group_by_key();
    by_user.count(Materialized::named("counts").caching(false)).to_stream().to(topic("counts"));

    let windowed = by_user
        .windowed_by(TimeWindows::of_size_and_grace(WINDOW, GRACE))
        .count(Materialized::named("windowed").caching(false));
    windowed.to_stream().to(topic("windowed"));
    windowed
        .suppress(Suppressed::until_window_closes(BufferConfig::unbounded()).name("closing"))
        .to_stream()
        .to(topic("closed"));

    by_user
        .windowed_by(SessionWindows::of_inactivity_gap_and_grace(GAP, GRACE))
        .count(Materialized::named("sessions").caching(false))
        .to_stream()
        .to_with(topic("sessions"), Produced::with(session_windowed(String::serde()), option(i64::serde())));

    clicks
        .group_by_with(|_, amount| format!("bucket-{}", amount % 5), Grouped::named("by-bucket"))
        .reduce(|sum, amount| sum + amount, Materialized::named("sums"))
        .to_stream()
        .to(topic("sums"));

    clicks
        .join_table_with(&profiles, |_, amount, region| format!("{amount}@{region}"), Joined::named("enrich"))
        .to(topic("enriched"));
    clicks.join_table_with(&prices, |_, amount, price| amount * price, Joined::named("price")).to(topic("priced"));
    clicks
        .join_with(
            &views,
            |_, amount, page| format!("{amount}@{page}"),
            JoinWindows::of_time_difference_and_grace(GAP, HOUR),
            StreamJoined::named("pair").store_name("pairs"),
        )
        .to(topic("pairs"));

    let homes = TableJoined::named("homes").materialized(Materialized::named("homes"));
    profiles
        .join_on_with(&regions, |_, region| region.clone(), |region, name| format!("{region}:{name}"), homes)
        .to_stream()
        .to(topic("homes"));
    builder.build()
}
