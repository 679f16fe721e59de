"""What several rules read of the evidence: functions of it, each computed once a check (`@fact`)."""
