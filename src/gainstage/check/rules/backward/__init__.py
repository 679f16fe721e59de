"""BWD3xx: the gradient on its way back, and the parameters that it does not reach."""
