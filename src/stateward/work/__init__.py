"""What happens after commit: effects, timers, reconciliation."""
