"""Where past bars come from: a store, topics, or a source of the user's own."""
