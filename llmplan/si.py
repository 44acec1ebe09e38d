"""Units that people use, in SI base units."""

HOUR, DAY = 3600.0, 86400.0  # s
KILOWATT_HOUR, MEGAWATT_HOUR = 3.6e6, 3.6e9  # J
TONNE = 1e3  # kg
MIB, GIB = 2.0**20, 2.0**30  # bytes
