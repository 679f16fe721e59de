"""Bridges from other frameworks to `gs.Subject`, one file a framework; import the file that you need."""
