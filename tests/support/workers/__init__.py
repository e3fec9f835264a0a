"""Worker processes, sound ones and faulty ones."""
