"""What `stateward demo` runs: two lifecycles that ship with the package, their event logs, and the report."""
