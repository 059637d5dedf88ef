"""When markets trade, and which candles are therefore expected."""
