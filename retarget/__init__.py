"""From source motion to posture of the target body: proportions, targets, solver, contacts, metrics."""
