"""The SVM driver: attributes and ranges, policy, migration, eviction and restore, faults."""
