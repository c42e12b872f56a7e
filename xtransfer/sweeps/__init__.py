"""Which learning rates a sweep tries, and which of its trials end before their last step."""
