"""What travels, to the letter: requests, answers, error bodies."""
