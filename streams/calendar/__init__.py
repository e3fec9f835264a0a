"""Trading days and hours: exchanges' calendars, presets, and windows of one's own."""
