"""The OpenAI client without its public names: what is sent, how it goes out, what comes back."""
