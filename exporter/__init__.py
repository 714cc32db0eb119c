"""Bulk exporter of TeamUp reports to Hive-partitioned Parquet."""

__version__ = "0.1.0"
