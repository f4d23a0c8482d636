"""What a display adapter shows: state of the adapter -> pixels, text, files, terminals, windows."""
