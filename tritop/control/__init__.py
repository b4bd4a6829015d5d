"""Changes to a running Triton: previewed before, carried out over gRPC, checked after."""
