"""The demo: a repository of real models, and how they are loaded."""
