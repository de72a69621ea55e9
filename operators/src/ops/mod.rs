//! The operators, one file each: what runs inside a task.
//!
//! A node's file holds its struct and its [`Process`](crate::push::Process) or [`Apply`](crate::push::Apply). The methods that put them into a topology, with their documentation, are in [`dsl`](crate::dsl);
//! their tests drive whole chains, in `tests/`.

pub(crate) mod aggregate;
pub(crate) mod attempt;
pub(crate) mod branch;
pub(crate) mod change;
pub(crate) mod filter;
pub(crate) mod flat_map;
pub(crate) mod flat_map_values;
pub(crate) mod for_each;
pub(crate) mod foreign_key;
pub(crate) mod global_join;
pub(crate) mod grace_join;
pub(crate) mod inlet;
pub(crate) mod lookup;
pub(crate) mod map;
pub(crate) mod map_values;
pub(crate) mod moment;
pub(crate) mod on_close;
pub(crate) mod outlet;
pub(crate) mod pass;
pub(crate) mod peek;
pub(crate) mod select_key;
pub(crate) mod session;
pub(crate) mod sliding;
pub(crate) mod stored;
pub(crate) mod stream_join;
pub(crate) mod stream_table_join;
pub(crate) mod suppress;
pub(crate) mod table_aggregate;
pub(crate) mod table_filter;
pub(crate) mod table_group;
pub(crate) mod table_join;
pub(crate) mod table_kept;
pub(crate) mod table_map_values;
pub(crate) mod table_pass;
pub(crate) mod table_source;
pub(crate) mod to_stream;
pub(crate) mod to_table;
pub(crate) mod transform_values;
pub(crate) mod window;
pub(crate) mod windowed;
