"""Griffe extension: the section `Example:` of a docstring is code, as `Examples:` is for Griffe."""

from typing import Any

import griffe


class ExampleSections(griffe.Extension):
    """Renames the section in every docstring of the package."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called once for every module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
