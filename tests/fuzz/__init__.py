"""Fuzz targets, the driver that mutates inputs for them, and the seeds it begins with."""
