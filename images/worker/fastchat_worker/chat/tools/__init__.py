"""Calls of tools: how models of each family write them, how they are read, and what forces a model to write one."""
