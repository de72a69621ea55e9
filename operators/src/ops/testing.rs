//! A chain under test, with what it needs around it.
