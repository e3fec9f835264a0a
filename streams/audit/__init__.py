"""`streams verify`: drive a session's journal again, and compare all that the session has written."""
