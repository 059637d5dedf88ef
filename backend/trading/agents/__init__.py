"""The three agents. They know nothing of each other: each reads messages and writes messages."""
