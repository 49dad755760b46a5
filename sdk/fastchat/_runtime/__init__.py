"""What every process of FastChat does, whichever part it is of."""
