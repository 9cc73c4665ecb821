"""Databases that can be captured: one package each."""
