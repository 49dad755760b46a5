"""From prompts to tokens: which sequences take part in a step, and the loop that runs it."""
