"""The trading rules of Photon, and nothing else: no framework, no clock, no input or output, no unseeded randomness."""
