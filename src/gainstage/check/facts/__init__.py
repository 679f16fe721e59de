"""What several rules read of the evidence: pure functions of it, computed once a check (`Evidence.once`)."""
