"""Feeds damaged files to the readers: nothing may crash, hang, or pass a picture that was cut short."""
