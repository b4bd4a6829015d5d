"""Quantities as people write them on a command line; see `tritop.units`."""

from tritop.units import parse_numbers, parse_seconds, parse_switch, parse_us, parse_versions, size

__all__ = ["parse_numbers", "parse_seconds", "parse_switch", "parse_us", "parse_versions", "size"]
