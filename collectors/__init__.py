"""One module per source. A collector only reads; it never draws and never changes anything."""
