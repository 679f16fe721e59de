"""DAT6xx: the batch that the model is given."""
