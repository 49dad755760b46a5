"""FastChat's own commands, translated into ours."""
