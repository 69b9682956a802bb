"""Measurements of svmlab itself: each compares a subject with a base, in turn, in one process."""
