"""Tables and plots of clips."""
