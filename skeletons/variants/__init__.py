"""Variants of a body: facts of a patient or subject that differ from the body's table, applied before compilation."""
