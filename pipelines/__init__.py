"""The stages put together: one clip, a folder, the demo."""
