"""Downloads data sets from our bundles and the Hugging Face hub; a file arrives complete or not at all.

Imports only `datasets` and `skeletons`.
"""
