"""What `stateward demo` runs: a show of orders with payment, and a real event log that is replayed."""
