"""Markets that are traded as they happen: candles, streams, quotes."""
