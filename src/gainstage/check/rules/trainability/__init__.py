"""TRN9xx: a short training run, only where `train=True` asks for it."""
