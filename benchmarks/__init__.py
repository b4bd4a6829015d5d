"""One runnable script for each budget of the design; each prints its result as JSON on its last line."""
