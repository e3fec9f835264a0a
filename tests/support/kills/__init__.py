"""Plans and runs in which processes are killed."""
