"""REG7xx: dropout, penalties and smoothing."""
