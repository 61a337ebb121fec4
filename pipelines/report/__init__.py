"""HTML reports: one about a converted archive, with the curves of every clip, and one about a policy."""
