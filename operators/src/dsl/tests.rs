//! Tests of the DSL: descriptions and build errors.
