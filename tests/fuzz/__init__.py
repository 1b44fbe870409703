"""Feeds what is damaged or hostile to all that reads: nothing may crash, hang, take much memory, or pass for right."""
