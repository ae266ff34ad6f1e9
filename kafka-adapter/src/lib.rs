//! kafka-adapter
