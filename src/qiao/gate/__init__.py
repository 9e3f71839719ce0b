"""Who may ask what, where it goes, and what it costs."""
