"""The wire messages as types, their codecs and their schemas."""
