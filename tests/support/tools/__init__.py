"""Tools in tests."""
