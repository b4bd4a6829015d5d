"""Where servers run: the embedded Triton of the demo extra."""
