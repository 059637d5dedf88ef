"""From the sources into the candle table and into CSV files."""
