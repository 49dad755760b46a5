"""Models whose weights are still in their files: whoever lays them out reads one after the other, and has no copy."""
