"""An independent audit of what a session has written."""
