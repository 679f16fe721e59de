"""Where the reports of a watch go besides: one file a place, and what it needs imported when it is made."""
