"""The screens: each paints the Snapshot in view and offers the actions of its place."""
