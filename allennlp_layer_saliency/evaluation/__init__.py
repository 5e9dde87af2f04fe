"""What is measured over data sets; results are plain numbers, ready for JSON."""
