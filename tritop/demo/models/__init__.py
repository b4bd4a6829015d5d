"""Model files as `tritop.demo.repository` writes them; they run inside Triton's Python backend."""
