"""Conversion between formats, checked; description and comparison of models."""
