"""Container images: ours, built from this checkout, and that of one program, put into a registry."""
