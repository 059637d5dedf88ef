"""Accounts, positions, trades, the cash journal, and their audit."""
