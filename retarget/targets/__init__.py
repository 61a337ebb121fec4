"""From a source motion to targets of the fit: proportions, contacts, landmarks. Imports no solver and no check."""
