"""What a classifier relies on, over a whole data set: words, from any number of explanations."""
