-- Rows for benchmarks/listing.py: :each for an account, :heavy for the first one. No statement holds a semicolon inside.
CREATE TEMP TABLE book AS
SELECT account.id, CASE WHEN row_number() OVER (ORDER BY account.id) = 1 THEN :heavy ELSE :each END AS rows
FROM trading_account account;

CREATE TEMP TABLE instrument AS
SELECT id, (row_number() OVER (ORDER BY id) - 1) % 15 AS number FROM market_symbol;

INSERT INTO market_candle (symbol_id, interval, open_time, open, high, low, close, volume, source, first_seen)
SELECT instrument.id, '1h', timestamptz '2025-12-01' + step * interval '1 hour', 100, 102, 98, 101, 5, 'made', now()
FROM instrument, generate_series(0, 5000) step;

INSERT INTO trading_message (key, type, sender, recipient, payload, symbol_id, interval, correlation_id, created_at,
    processed_at, attempts, available_at, error)
SELECT 'benchmark:' || step, 'MARKET_SNAPSHOT', 'MARKET_MONITOR', 'DECISION_MAKER',
    jsonb_build_object('ticker', 'BTCUSDT', 'interval', '1h', 'timestamp', '2026-01-01T00:00:00Z',
        'ohlcv', jsonb_build_object('open', 100.5, 'high', 102.5, 'low', 98.5, 'close', 101.5, 'volume', 1234.5),
        'indicators', jsonb_build_object('sma10', 100.1, 'sma20', 100.2, 'sma50', 100.3, 'rsi14', 55.5, 'macd', 0.5,
            'macd_signal', 0.4, 'macd_hist', 0.1, 'bb_upper', 104.5, 'bb_middle', 100.2, 'bb_lower', 95.9,
            'volatility', 2.15, 'price_change', 0.01, 'percent_b', 0.65, 'volume_mean20', 1200.5),
        'analysis', jsonb_build_object('trend', 'bull', 'strength', 0.75,
            'signals', jsonb_build_object('rsi_state', 'neutral', 'sma_cross', 1))),
    instrument.id, '1h', gen_random_uuid(), timestamptz '2026-01-01' + step * interval '1 minute', now(), 0, now(), ''
FROM generate_series(1, greatest(:heavy, :each)) step JOIN instrument ON instrument.number = step % 15
ORDER BY step;

CREATE TEMP TABLE snapshot AS
SELECT id, symbol_id, created_at, row_number() OVER (ORDER BY id) AS step FROM trading_message;

CREATE INDEX ON snapshot (step);

ANALYZE;

INSERT INTO trading_decision (account_id, symbol_id, interval, close_time, snapshot_id, action, confidence, risk_score,
    quantity, price, reasoning, model_type, model_version, explanation, status, reason_code, executed_at, created_at)
SELECT book.id, snapshot.symbol_id, '1h', snapshot.created_at, snapshot.id,
    CASE step % 4 WHEN 0 THEN 'BUY' WHEN 1 THEN 'SELL' ELSE 'HOLD' END, 0.65, 0.25, 1.5, 101.5,
    'HOLD decision (confidence: 0.65). Trend: BULL. RSI neutral (55.5). Strong trend (strength: 0.75)',
    'random_forest', 'benchmark',
    jsonb_build_object('probabilities', jsonb_build_object('SELL', 0.2, 'HOLD', 0.65, 'BUY', 0.15),
        'features', jsonb_build_object('close', 0.01, 'volume', 0.5, 'price_change', 0.1, 'sma10', 0.01, 'sma20', 0.02,
            'rsi14', 0.55, 'macd', 0.2, 'macd_hist', 0.1, 'volatility', 0.02, 'trend', 1.0, 'strength', 0.75,
            'rsi_state', 0.0, 'sma_cross', 1.0, 'percent_b', 0.65)),
    CASE WHEN step % 4 > 1 THEN 'skipped' WHEN step % 40 = 0 THEN 'rejected' ELSE 'executed' END,
    CASE WHEN step % 4 > 1 THEN 'hold' WHEN step % 40 = 0 THEN 'stale_quote' ELSE 'signal' END,
    snapshot.created_at, snapshot.created_at
FROM book JOIN snapshot ON snapshot.step <= book.rows;

INSERT INTO trading_order (account_id, symbol_id, decision_id, client_order_id, action, quantity, requested_price, reason,
    created_at)
SELECT account_id, symbol_id, id, 'decision-' || id, CASE id % 2 WHEN 0 THEN 'BUY' ELSE 'SELL' END, 1.5, 101.5, 'signal',
    created_at
FROM trading_decision;

INSERT INTO trading_trade (order_id, account_id, symbol_id, action, quantity, price, slippage, amount, commission, pnl,
    cost, timestamp, created_at)
SELECT id, account_id, symbol_id, action, 1.5, 101.6, 0.1, 152.4, 0.16,
    CASE action WHEN 'SELL' THEN id % 21 - 10 END, CASE action WHEN 'SELL' THEN 150 END, created_at, created_at
FROM trading_order;

INSERT INTO trading_position (account_id, symbol_id, quantity, cost, entry_price, mark, high, pnl, sold_cost, opened_at,
    closed_at)
SELECT book.id, snapshot.symbol_id, 0, 0, 101.5, 101.5, 102, 5, 150, snapshot.created_at,
    snapshot.created_at + interval '15 minutes'
FROM book JOIN snapshot ON snapshot.step <= book.rows / 4;

INSERT INTO trading_position (account_id, symbol_id, quantity, cost, entry_price, mark, high, pnl, sold_cost, opened_at)
SELECT book.id, instrument.id, 1.5, 152, 101.5, 101.5, 102, 0, 0, now()
FROM book JOIN instrument ON instrument.number < 5;

INSERT INTO trading_equitypoint (account_id, time, balance, equity)
SELECT book.id, snapshot.created_at, 10000, 10000 + snapshot.step % 97
FROM book JOIN snapshot ON snapshot.step <= book.rows;

VACUUM ANALYZE;
