"""FWD2xx: the signal on its way forward."""
