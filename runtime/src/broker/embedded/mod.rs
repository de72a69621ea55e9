//! A log in the same process: partitions, offsets, transactions, groups; no sockets and no wire format.
