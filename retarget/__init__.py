"""From source motion to configuration of the target body: proportions, targets, solver, contacts, metrics."""
