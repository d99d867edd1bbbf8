"""What a user would otherwise write or pick, written as well as we can."""
