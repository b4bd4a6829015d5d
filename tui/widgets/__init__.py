"""Widgets that repaint lines, not themselves: one changed number costs one line."""
