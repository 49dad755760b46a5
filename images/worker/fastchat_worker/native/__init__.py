"""Models like Llama on the CPU: what transformers has loaded becomes a model of C++ (images/worker/native)."""
