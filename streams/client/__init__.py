"""What a user's own program imports: produce bars, send commands, consume what is fresh."""
