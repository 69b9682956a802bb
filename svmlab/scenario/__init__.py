"""Scenarios: the language of files, how they run, and what they report."""
