"""A body of a subject's size: geometry, masses and muscles of a specification, scaled before compilation.

Imports only modules of `skeletons`.
"""
