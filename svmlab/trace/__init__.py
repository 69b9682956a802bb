"""Logs: in from real drivers, out to other tools, and why something happened."""
