"""Models like Llama on the CPU: what transformers has loaded becomes a model of our own, in C++ (images/worker/native)."""
