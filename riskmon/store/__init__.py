"""Store: the durable state that every stage's records are written to and read from."""
