"""The stage ``inspect``: what each image is, found by decoding it.

In: blobs. Out: a row of facts for each (format, size, hashes, what is wrong with it), small uniform pictures, and
sheets of them. May use ``store`` and the rooms before this one.
"""
