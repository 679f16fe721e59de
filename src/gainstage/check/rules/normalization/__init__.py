"""NRM4xx: normalization layers and their statistics."""
