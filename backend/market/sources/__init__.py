"""Where candles come from: one module per source, each returning the engine's candle frame."""
