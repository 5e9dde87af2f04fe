"""Ways to look at results; nothing here computes any."""
