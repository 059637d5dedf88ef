"""The Message table: claim, publish, complete."""
