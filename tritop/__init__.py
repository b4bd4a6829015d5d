"""tritop: watch, steer and run Triton Inference Server from a terminal."""

__version__ = "0.1.0"
