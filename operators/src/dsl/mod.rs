//! The typed DSL: streams, tables, groups.
