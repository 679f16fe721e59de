"""OUT5xx: outputs, targets and the loss."""
