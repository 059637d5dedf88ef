"""The trading rules of Photon: no framework, no clock, no input or output, no unseeded randomness."""
