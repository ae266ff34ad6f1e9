//! config-faults
